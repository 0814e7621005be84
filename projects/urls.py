from django.urls import path

from projects import oidc, views

urlpatterns = [
    path("projects", views.projects, name="projects"),
    path("projects/choose", views.choose, name="choose-project"),
    path("projects/<slug:slug>/", views.project, name="project"),
    path("projects/<slug:slug>/settings", views.change_settings, name="project-settings"),
    path("audit", views.audit_of_all, name="audit-of-all"),
    path("projects/<slug:slug>/audit", views.audit_log, name="audit"),
    path("projects/<slug:slug>/members", views.add_member, name="add-member"),
    path("projects/<slug:slug>/members/<int:user_id>/role", views.change_role, name="change-role"),
    path(
        "projects/<slug:slug>/members/<int:user_id>/remove",
        views.remove_member,
        name="remove-member",
    ),
    path(
        "projects/<slug:slug>/members/<int:user_id>/link",
        views.password_link,
        name="password-link",
    ),
    path("sign-in/organisation", oidc.SignInElsewhere.as_view(), name="sign-in-elsewhere"),
    path("sign-in/done", oidc.SignedInElsewhere.as_view(), name="signed-in-elsewhere"),
    path(
        "set-password/<str:uidb64>/<str:token>/", views.SetPassword.as_view(), name="set-password"
    ),
]
