"""Signs people in through a provider of identities: OpenID Connect, authorization code with PKCE, by Authlib."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)  # it recommends another HTTP client than ours
    from authlib.integrations.starlette_client import OAuth, OAuthError

from core.errors import Retry, UserError, first_line
from core.text import plain
from desk.access.people import ROLES, Role

ANSWER_S = 10.0
"""Longest time, in seconds, for each answer of the provider."""

LONGEST_NAME = 128
"""Longest name, in characters, as in `core.events.Decision`."""

SIGNATURES = frozenset({f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"})
"""Signatures with a public key. An unsigned token, or one signed with our own secret, would prove less."""


@dataclass(frozen=True)
class Identity:
    """Whom the provider has signed in. `roles` is empty for a person who may not use the desk."""

    name: str
    roles: frozenset[Role]


class Oidc:
    """One provider. Its discovery document is read at the first login, and kept."""

    def __init__(self, issuer: str, client_id: str, secret: str | None, name_claim: str, roles_claim: str) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._name_claim, self._roles_claim = name_claim, roles_claim
        self._client = OAuth().register(
            "oidc",
            client_id=client_id,
            client_secret=secret,
            server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "timeout": ANSWER_S,
                **({} if secret else {"token_endpoint_auth_method": "none"}),
            },
        )

    async def redirect(self, request: Request, address: str) -> Response:
        """Returns the redirect to the provider. It sends the person back to `address`.

        Raises `Retry` if the provider does not answer, `UserError` if its answer cannot be used.
        """
        try:
            await self._check_discovery()
            response: Response = await self._client.authorize_redirect(request, address)
        except Exception as error:
            raise _told(error) from error
        return response

    async def identity(self, request: Request) -> Identity:
        """Returns who came back from the provider. Raises as `redirect` does, and `UserError` for a refusal."""
        try:
            await self._check_discovery()
            token = await self._client.authorize_access_token(
                request,
                claims_options={
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self._client_id},
                },
            )
            claims = dict(token.get("userinfo") or {})
            if not claims:
                raise UserError("it sent no ID token")
            if {self._name_claim, self._roles_claim.partition(".")[0]} - claims.keys():
                more = await self._client.userinfo(token=token)
                if more.get("sub") != claims["sub"]:  # OpenID Connect Core 1.0, section 5.3.2
                    raise UserError("its user info is about somebody else")
                claims = dict(more) | claims
        except Exception as error:
            raise _told(error) from error
        return self._identity(claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name = claims.get(self._name_claim)
        if not isinstance(name, str) or not name or plain(name, LONGEST_NAME) != name or ":" in name:
            raise UserError(
                f"the provider of identities says no usable name in the claim {self._name_claim!r}; "
                "MNER_DESK_OIDC_NAME sets the claim"
            )
        values = _found(claims, self._roles_claim)
        listed = [values] if isinstance(values, str) else values if isinstance(values, list) else []
        return Identity(name, frozenset(role for role in ROLES if role in listed))

    async def _check_discovery(self) -> None:
        """Raises `UserError` if the document is another issuer's. Leaves only the signatures that we take."""
        metadata = await self._client.load_server_metadata()
        if metadata.get("issuer") != self.issuer:  # OpenID Connect Discovery 1.0, section 4.3
            raise UserError(f"its discovery document is that of {metadata.get('issuer')!r}, not of {self.issuer!r}")
        named = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [name for name in named if name in SIGNATURES]


def _found(claims: Mapping[str, Any], path: str) -> Any:
    """Returns a claim. Dots in its name lead into objects, unless there is a claim of the whole name."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _told(error: Exception) -> Exception:
    """Returns the error as one of ours."""
    begin = "the provider of identities"
    if isinstance(error, httpx.TransportError) or (
        isinstance(error, httpx.HTTPStatusError) and error.response.status_code >= 500
    ):
        return Retry(f"{begin} does not answer: {first_line(error)}")
    if isinstance(error, OAuthError):
        return UserError(f"{begin} did not sign you in: {plain(str(error), 200)}; try again")
    if isinstance(error, (UserError, httpx.HTTPError, JoseError, ValueError, KeyError, TypeError, RuntimeError)):
        return UserError(f"the answer of {begin} cannot be used: {plain(first_line(error), 300)}")
    return error
