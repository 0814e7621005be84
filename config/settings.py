"""Settings. What differs between installations comes from the environment (environment.py).

Without DATABASE_URL and CELERY_BROKER_URL, the servers that `make demo` starts are used. What can
be read and is unsafe all the same is refused by checks.py.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from config.environment import Environment
from config.logs import configuration
from config.stack import embedded
from config.storage import blob_storage

env = Environment(os.environ)

BASE_DIR = Path(__file__).resolve().parent.parent
CLOSER_DATA = env.read("CLOSER_DATA", BASE_DIR / "var")

# Where people reach this installation; https unless it says otherwise.
CLOSER_URL = env.read("CLOSER_URL", embedded.running_url(CLOSER_DATA) or "https://localhost")
CLOSER_PLAIN_HTTP = env.read("CLOSER_PLAIN_HTTP")
IS_HTTPS = urlsplit(CLOSER_URL).scheme == "https"

DEBUG = False
# The embedded stack makes itself a key; anyone who runs their own servers brings their own.
SECRET_KEY = env.read("SECRET_KEY")
if not SECRET_KEY:
    if env.is_set("DATABASE_URL"):
        env.problems.append("SECRET_KEY: with DATABASE_URL, set it to a long random string.")
    else:
        SECRET_KEY = embedded.secret_key(CLOSER_DATA)
SECRET_KEY_FALLBACKS = env.read("SECRET_KEY_FALLBACKS")  # former ones: links hold
# Health checks ask by localhost, people by the host of CLOSER_URL.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", urlsplit(CLOSER_URL).hostname]
ALLOWED_HOSTS += env.read("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = [CLOSER_URL]

INSTALLED_APPS = [
    "config",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_htmx",
    "csp",
    "projects",
    "codecs_registry",
    "annotation",
    "evaluation",
]

MIDDLEWARE = [
    "config.requests.Noted",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["projects.templatetags.roles", "evaluation.templatetags.metric_roles"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "projects.context.theirs",
                "config.appearance.of_page",
                "config.navigation.of_page",
            ],
        },
    },
]

# --- data -----------------------------------------------------------------------------------------
DATABASES = {"default": env.read("DATABASE_URL", embedded.database(CLOSER_DATA))}
DATABASES["default"] |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STORAGES = {
    "blobs": blob_storage(
        env.read("CLOSER_BLOBS", CLOSER_DATA / "blobs"),
        endpoint=env.read("CLOSER_S3_ENDPOINT"),
        region=env.read("CLOSER_S3_REGION"),
        key=env.read("AWS_ACCESS_KEY_ID"),
        secret=env.read("AWS_SECRET_ACCESS_KEY"),
    ),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# What a proxy that reads the same blobs is told to send instead of them.
CLOSER_ACCEL_REDIRECT = env.read("CLOSER_ACCEL_REDIRECT")

# --- background work ------------------------------------------------------------------------------
CELERY_BROKER_URL = env.read("CELERY_BROKER_URL", embedded.broker_url(CLOSER_DATA))
if env.is_set("DATABASE_URL") and not env.is_set("CELERY_BROKER_URL"):
    env.problems.append("CELERY_BROKER_URL: with DATABASE_URL, name a Redis or Valkey server, too.")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A message is dropped only when its work is done; work itself is claimed in the database.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "analyse"
CELERY_TASK_ROUTES = {
    "codecs_registry.tasks.*": {"queue": "encode"},
    "evaluation.metric_tasks.*": {"queue": "train"},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(CLOSER_DATA / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "take up encodes whose worker died": {
        "task": "codecs_registry.tasks.resume_encoding",
        "schedule": 10.0,
    },
    "open studies whose stimuli are complete": {
        "task": "evaluation.tasks.advance_studies",
        "schedule": 10.0,
    },
    "take up exports whose worker died": {
        "task": "annotation.tasks.resume_exports",
        "schedule": 10.0,
    },
    "forget who judged in studies that ended long ago": {
        "task": "annotation.tasks.forget_contacts",
        "schedule": 3600.0,
    },
    "forget who was signed in": {
        "task": "projects.tasks.forget_sign_ins",
        "schedule": 3600.0,
    },
    "choose the pairs that active sampling asks next": {
        "task": "evaluation.tasks.choose_pairs",
        "schedule": 3.0,
    },
    "bring the analyses of studies up to date": {
        "task": "evaluation.tasks.keep_analyses_fresh",
        "schedule": 5.0,
    },
    "send webhooks what they are owed": {
        "task": "evaluation.webhook_tasks.deliver",
        "schedule": 10.0,
    },
    "tell webhooks of new judgments": {
        "task": "evaluation.webhook_tasks.tell_of_judgments",
        "schedule": 60.0,
    },
    "forget what the API and webhooks need no more": {
        "task": "evaluation.webhook_tasks.forget_old",
        "schedule": 3600.0,
    },
    "train metrics that are due, and take up what was left of trainings and scores": {
        "task": "evaluation.metric_tasks.look_for_work",
        "schedule": 5.0,
    },
}

# What all encodes of one machine may take together; 0: three quarters of its memory.
CLOSER_ENCODE_MEMORY_MB = env.read("CLOSER_ENCODE_MEMORY_MB")
# How many threads a training or a scoring may use; 0: half of the machine's cores.
CLOSER_TRAIN_THREADS = env.read("CLOSER_TRAIN_THREADS")
CLOSER_HEARTBEAT = env.read("CLOSER_HEARTBEAT")
# The folder with one folder for each training of the learned codec that the pages show.
CLOSER_CODEC_TRAININGS = env.read("CLOSER_CODEC_TRAININGS", CLOSER_DATA / "codec-training")

# --- people ---------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# So many days after a study's end it is forgotten who judged; 0: never.
CLOSER_KEEP_CONTACTS_DAYS = env.read("CLOSER_KEEP_CONTACTS_DAYS")
# Sign-in through an organisation (OpenID Connect): none without an issuer.
OIDC_ISSUER = env.read("OIDC_ISSUER")
OIDC_RP_CLIENT_ID = env.read("OIDC_CLIENT_ID")
OIDC_RP_CLIENT_SECRET = env.read("OIDC_CLIENT_SECRET")
OIDC_RP_SIGN_ALGO = "RS256"
OIDC_RP_SCOPES = "openid email profile"
OIDC_MAKES_ACCOUNTS = env.read("OIDC_MAKES_ACCOUNTS")  # else only for who was invited
OIDC_USE_PKCE = True
OIDC_TIMEOUT = 10
OIDC_AUTHENTICATION_CALLBACK_URL = "signed-in-elsewhere"
if OIDC_ISSUER and not (OIDC_RP_CLIENT_ID and OIDC_RP_CLIENT_SECRET):
    env.problems.append("OIDC_ISSUER: it needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET.")
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "projects.oidc.OrganisationBackend",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "studies"
LOGOUT_REDIRECT_URL = "login"

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # How many proxies stand before the web server: an address is only believed from the last ones.
    # No server of ours ends TLS, so https means that there is one.
    "NUM_PROXIES": env.read("CLOSER_PROXIES", int(IS_HTTPS)),
    "URL_FORMAT_OVERRIDE": None,  # what is wanted stands in Accept
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Closer",
    "DESCRIPTION": "Compare image codecs by people's judgments.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SORT_OPERATIONS": False,  # chapters as evaluation/api/urls.py has them
    "POSTPROCESSING_HOOKS": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SERVERS": [{"url": CLOSER_URL}],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}
# Requests to the API with one token.
CLOSER_API_RATE = env.read("CLOSER_API_RATE")
# Whether webhooks may call addresses of this machine and its network, which are no secret from
# those who may make one then.
CLOSER_WEBHOOK_PRIVATE = env.read("CLOSER_WEBHOOK_PRIVATE")

# --- security -------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_HTTPS else 0  # of this name: others are not ours
# What `check --deploy` misses are promises for all names below this one.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|prometheus)$"]  # asked from inside, past the proxy
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SECURE_REFERRER_POLICY = "same-origin"  # links carry secrets: they never leave in a Referer
CSRF_FAILURE_VIEW = "config.urls.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# --- language, time, files ------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("ar", "العربية")]  # of the annotator's pages
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
DATA_UPLOAD_MAX_NUMBER_FILES = 1000  # photographs in one upload
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

LOGGING = configuration(env.read("LOG_LEVEL"), env.read("CLOSER_LOG_FORMAT"))
CLOSER_METRICS_TOKEN = env.read("CLOSER_METRICS_TOKEN")
CLOSER_METRICS_FROM = env.read("CLOSER_METRICS_FROM")

env.refuse()  # at last, so that all that is wrong is told at once
