from django.apps import AppConfig


class CodecsRegistryConfig(AppConfig):
    name = "codecs_registry"
    verbose_name = "Source images, codecs and reconstructions"
