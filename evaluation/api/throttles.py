"""How often the API may be called. Counts are each web process' own, as annotators' are."""

from django.conf import settings
from rest_framework.throttling import SimpleRateThrottle

from evaluation.api.authentication import token_of


class PerCaller(SimpleRateThrottle):
    """Requests with one token, of one account's pages, or of one address without either."""

    scope = "api"

    def get_rate(self) -> str:
        return settings.CLOSER_API_RATE

    def get_cache_key(self, request, view) -> str:
        if token := token_of(request):
            ident = f"token-{token.id}"
        elif request.user.is_authenticated:
            ident = f"user-{request.user.pk}"
        else:
            ident = f"address-{self.get_ident(request)}"
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def headers(self) -> dict[str, str]:
        """How much is left, and in how many seconds all of it is back."""
        left = max(0, self.num_requests - len(self.history))
        oldest = self.history[-1] if self.history else self.now
        return {
            "RateLimit-Limit": str(self.num_requests),
            "RateLimit-Remaining": str(left),
            "RateLimit-Reset": str(max(0, round(oldest + self.duration - self.now))),
        }
