"""Addresses of the API. `path` as everywhere; the last one catches what is nothing."""

from django.urls import path, re_path, register_converter

from evaluation.api import (
    annotators,
    docs,
    exports,
    images,
    imports,
    metrics,
    plans,
    projects,
    results,
    sharing,
    studies,
    tokens,
    webhooks,
)
from evaluation.metric_models import NAME_PATTERN


class VersionName:
    """The name of a version of the metric."""

    regex = NAME_PATTERN.strip("^$")

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(VersionName, "version")

described = [
    path("projects", projects.Projects.as_view(), name="api-projects"),
    path("projects/<slug:slug>", projects.OneProject.as_view(), name="api-project"),
    path("projects/<slug:slug>/members", projects.ProjectMembers.as_view(), name="api-members"),
    path("projects/<slug:slug>/members/<int:id>", projects.OneMember.as_view(), name="api-member"),
    path(
        "projects/<slug:slug>/members/<int:id>/link",
        projects.MemberLink.as_view(),
        name="api-member-link",
    ),
    path("projects/<slug:slug>/audit", projects.Audit.as_view(), name="api-audit"),
    path("codecs", images.AllCodecs.as_view(), name="api-codecs"),
    path("collections", images.Collections.as_view(), name="api-collections"),
    path("collections/<int:id>", images.OneCollection.as_view(), name="api-collection"),
    path("collections/<int:id>/images", images.Upload.as_view(), name="api-upload"),
    path("images", images.Images.as_view(), name="api-images"),
    path("images/<int:id>", images.OneImage.as_view(), name="api-image"),
    path(
        "images/<int:id>/reconstructions",
        images.Reconstructions.as_view(),
        name="api-reconstructions",
    ),
    path("plan", plans.Plan.as_view(), name="api-plan"),
    path("studies", studies.Studies.as_view(), name="api-studies"),
    path("studies/<slug:slug>", studies.OneStudy.as_view(), name="api-study"),
    path("studies/<slug:slug>/progress", studies.Progress.as_view(), name="api-progress"),
    path("studies/<slug:slug>/move", studies.Move.as_view(), name="api-move"),
    path("studies/<slug:slug>/retry", studies.Retry.as_view(), name="api-retry"),
    path("studies/<slug:slug>/results", results.Results.as_view(), name="api-results"),
    path("studies/<slug:slug>/judgments", results.Judgments.as_view(), name="api-judgments"),
    path("studies/<slug:slug>/annotators", annotators.Annotators.as_view(), name="api-annotators"),
    path(
        "studies/<slug:slug>/annotators/<int:id>",
        annotators.OneAnnotator.as_view(),
        name="api-annotator",
    ),
    path(
        "studies/<slug:slug>/annotators/<int:id>/revoke",
        annotators.Revoke.as_view(),
        name="api-revoke",
    ),
    path(
        "studies/<slug:slug>/annotators/<int:id>/restore",
        annotators.Restore.as_view(),
        name="api-restore",
    ),
    path("studies/<slug:slug>/payments", annotators.Payments.as_view(), name="api-payments"),
    path("studies/<slug:slug>/new-link", annotators.NewLink.as_view(), name="api-new-link"),
    path("studies/<slug:slug>/exports", exports.Exports.as_view(), name="api-exports"),
    path("studies/<slug:slug>/exports/<int:id>", exports.OneExport.as_view(), name="api-export"),
    path(
        "studies/<slug:slug>/exports/<int:id>/retry",
        exports.RetryExport.as_view(),
        name="api-export-retry",
    ),
    path(
        "studies/<slug:slug>/exports/<int:id>/file",
        exports.ExportFile.as_view(),
        name="api-export-file",
    ),
    path("studies/<slug:slug>/links", sharing.SharedLinks.as_view(), name="api-links"),
    path(
        "studies/<slug:slug>/links/<int:id>/revoke",
        sharing.RevokeLink.as_view(),
        name="api-revoke-link",
    ),
    path("imports", imports.Imports.as_view(), name="api-imports"),
    path("imports/dry-run", imports.DryRun.as_view(), name="api-dry-run"),
    path("imports/<int:id>", imports.OneImport.as_view(), name="api-import"),
    path("imports/<int:id>/results", imports.ImportResults.as_view(), name="api-import-results"),
    path("imports/<int:id>/file", imports.ImportFile.as_view(), name="api-import-file"),
    path("metrics", metrics.Metrics.as_view(), name="api-metrics"),
    path("metrics/<version:name>", metrics.OneMetric.as_view(), name="api-metric"),
    path("distance", metrics.Distance.as_view(), name="api-distance"),
    path("projects/<slug:slug>/webhooks", webhooks.Webhooks.as_view(), name="api-webhooks"),
    path(
        "projects/<slug:slug>/webhooks/<int:id>",
        webhooks.OneWebhook.as_view(),
        name="api-webhook",
    ),
    path(
        "projects/<slug:slug>/webhooks/<int:id>/test",
        webhooks.Test.as_view(),
        name="api-webhook-test",
    ),
    path(
        "projects/<slug:slug>/webhooks/<int:id>/deliveries",
        webhooks.Deliveries.as_view(),
        name="api-deliveries",
    ),
    path(
        "projects/<slug:slug>/webhooks/<int:id>/deliveries/<int:delivery_id>/again",
        webhooks.Again.as_view(),
        name="api-delivery-again",
    ),
    path("tokens", tokens.Tokens.as_view(), name="api-tokens"),
    path("tokens/<int:id>", tokens.OneToken.as_view(), name="api-token"),
    path("schema", docs.Document.as_view(), name="api-schema"),
]

urlpatterns = [
    *described,
    path("docs", docs.docs, name="api-docs"),
    re_path(r"^(?P<path>[\s\S]*)\Z", docs.unknown, name="api-unknown"),
]


def urlpatterns_described() -> list:
    """Those that are in the document, under their prefix."""
    from django.urls import include

    return [path("api/v1/", include((described, "described")))]
