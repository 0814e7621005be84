from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "evaluation"
    verbose_name = "Studies and their analysis"

    def ready(self) -> None:
        from evaluation import metric_tasks, tasks, webhook_tasks  # noqa: F401  (they connect receivers)
