from django.apps import AppConfig


class CodecsRegistryConfig(AppConfig):
    name = "codecs_registry"
    verbose_name = "Source images, codecs and reconstructions"

    def ready(self) -> None:
        from codecs_registry import clock  # noqa: F401  (it listens to connections)
