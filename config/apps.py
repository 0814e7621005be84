from django.apps import AppConfig


class Config(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import checks, task_signals  # noqa: F401  (they register themselves)
