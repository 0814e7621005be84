from django.urls import path

from evaluation import annotator_views, metric_views, views
from evaluation.metric_api import Distance

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("", views.studies, name="studies"),
    path("tour", views.put_tour_away, name="put-tour-away"),
    path("studies/new", views.new_study, name="new-study"),
    path("studies/upload", views.upload, name="upload"),
    path("studies/<slug:slug>/", views.study, name="study"),
    path("studies/<slug:slug>/retry", views.retry, name="retry"),
    path("studies/<slug:slug>/close", views.close, name="close"),
    path("studies/<slug:slug>/reopen", views.reopen, name="reopen"),
    path("studies/<slug:slug>/stimuli", views.stimuli, name="stimuli"),
    path("studies/<slug:slug>/annotators", annotator_views.annotators, name="annotators"),
    path("studies/<slug:slug>/annotators.csv", annotator_views.payments, name="payments"),
    path("studies/<slug:slug>/invite", annotator_views.invite_annotators, name="invite"),
    path("studies/<slug:slug>/new-link", annotator_views.renew_link, name="renew-link"),
    path(
        "studies/<slug:slug>/annotators/<int:annotator_id>/revoke",
        annotator_views.revoke_annotator,
        name="revoke",
    ),
    path(
        "studies/<slug:slug>/annotators/<int:annotator_id>/withdraw",
        annotator_views.withdraw_annotator,
        name="withdraw-annotator",
    ),
    path(
        "studies/<slug:slug>/annotators/<int:annotator_id>/restore",
        annotator_views.restore_annotator,
        name="restore",
    ),
    path(
        "studies/<slug:slug>/metric-progress",
        metric_views.scoring_progress,
        name="scoring-progress",
    ),
    path(
        "studies/<slug:slug>/stimuli/<int:reconstruction_id>/differences",
        metric_views.differences,
        name="differences",
    ),
    path("metrics", metric_views.metrics, name="metrics"),
    path("metrics/bundled", metric_views.serve_bundled, name="serve-bundled"),
    path("metrics/rules/<str:population>", metric_views.set_rule, name="retraining-rule"),
    path("metrics/train/<str:population>", metric_views.train_now, name="train-now"),
    path("metrics/trainings/<int:run_id>/", metric_views.training, name="training"),
    path("metrics/trainings/<int:run_id>/retry", metric_views.retry, name="training-retry"),
    path("metrics/trainings/<int:run_id>/discard", metric_views.discard, name="training-discard"),
    path("metrics/versions/<str:name>/", metric_views.version, name="metric"),
    path("metrics/versions/<str:name>/service", metric_views.serve, name="put-in-service"),
    path("metrics/versions/<str:name>/file", metric_views.download_file, name="metric-file"),
    path("metrics/versions/<str:name>/pairs.csv", metric_views.download_pairs, name="metric-pairs"),
    path(
        "metrics/versions/<str:name>/hardest/<int:number>/<str:side>",
        metric_views.hardest_picture,
        name="hardest-picture",
    ),
    path(
        "metrics/differences/<int:map_id>.png",
        metric_views.difference_picture,
        name="difference-png",
    ),
    path("api/distance", Distance.as_view(), name="distance"),
    path("studies/<slug:slug>/report.html", views.report, name="report"),
    path("studies/<slug:slug>/results.json", views.analysis_json, name="analysis-json"),
    path("studies/<slug:slug>/judgments.csv", views.download_judgments, name="judgments-csv"),
    path("studies/<slug:slug>/judgments.jsonl", views.download_everything, name="judgments-jsonl"),
    path("studies/<slug:slug>/2afc.zip", views.download_dataset, name="dataset-zip"),
]
