"""The log of who changed what."""

from projects.models import AuditEntry, Project


def record(action: str, subject: object, *, by, project: Project | None, **details: object) -> None:
    """Note a change, within the transaction that makes it.

    by : who made it; None for a command, or what Closer does by itself.
    details : what can be written as JSON.
    """
    AuditEntry.objects.create(
        project=project,
        actor=by,
        actor_name=by.get_username() if by else "",
        action=action,
        subject=str(subject)[:200],
        details=details,
    )
