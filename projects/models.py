"""Who works together, who may do what, and who did what."""

from django.conf import settings
from django.db import models

from projects.roles import Role


class Project(models.Model):
    """People who work together, and what is theirs: collections and studies.

    Nobody else sees them, but for the installation's administrators (Django's superusers).
    """

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=100, unique=True)
    trains_metric = models.BooleanField(
        default=False,
        help_text="Its judgments train the installation's metric. Members of all such projects see "
        "the metric's pages, with pairs of pictures that it was trained on.",
    )
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="projects"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """That somebody takes part in a project."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    made_account = models.BooleanField(
        default=False, help_text="The account was made for it: its owners hand on a link to it."
    )
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["user__username"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="member_once_a_project"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_has_a_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.role} in {self.project}"


class AuditEntry(models.Model):
    """That somebody changed something. Append-only: the database refuses to change it."""

    project = models.ForeignKey(
        Project, models.PROTECT, null=True, related_name="audit", help_text="Empty: of all."
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="audit"
    )
    actor_name = models.CharField(
        max_length=150, help_text="As it was then; empty: the command line, or Closer by itself."
    )
    action = models.CharField(max_length=50)
    subject = models.CharField(max_length=200, help_text="Whose name or number: a study, a member.")
    details = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # "What happened in this project?", the newest first.
            models.Index(fields=["project", "-id"], name="audit_of_a_project"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name or 'Closer'}: {self.action} {self.subject}"


class Identity(models.Model):
    """The account of somebody who signs in elsewhere (OpenID Connect)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identity")
    issuer = models.CharField(max_length=200)
    subject = models.CharField(max_length=255, help_text="Who they are there: the claim `sub`.")

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="identity_has_one_account"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"


class SignInFailures(models.Model):
    """How many passwords were tried under a key, but for right ones (`sign_in_attempts`)."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.IntegerField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} until {self.until}"
