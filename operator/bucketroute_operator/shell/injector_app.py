"""The mutating webhook as an ASGI application: AdmissionReview of admission.k8s.io/v1 in and out.

Who calls is not checked, and need not be: the answer is a function of the request and of settings
that hold no secret. What is no AdmissionReview gets an HTTP error, which the API server takes by
the webhook's failurePolicy.
"""

from __future__ import annotations

import base64
import json
import logging
from time import perf_counter
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bucketroute_operator.core.injection import Decision, Injector, PodRequest, Result
from bucketroute_operator.core.raw_pod import JsonObject, PodFormatError, object_at, text_at
from bucketroute_operator.shell.bodies import Bodies, BodyError
from bucketroute_operator.shell.injector_metrics import InjectorMetrics

log = logging.getLogger("bucketroute.injector")

INJECT_PATH = "/inject"
API_VERSION = "admission.k8s.io/v1"
# etcd takes objects of 1.5 MiB; as JSON, in a review, they are larger.
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BUFFERED_BYTES = 32 * 1024 * 1024
# The API server gives up after 3 seconds, TLS included.
BODY_SECONDS = 2.0


class HasInjector(Protocol):
    """What `InjectorFiles` is: the injector of the moment."""

    @property
    def injector(self) -> Injector: ...


class _RefusedError(Exception):
    """An HTTP answer that is no review. The message goes to the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class InjectorApp:
    """The ASGI application is `app`."""

    def __init__(
        self, source: HasInjector, metrics: InjectorMetrics, *, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._bodies = Bodies(together_bytes=MAX_BUFFERED_BYTES, seconds=body_seconds)
        self.app = Starlette(routes=[Route(INJECT_PATH, self._inject, methods=["POST"])])

    async def _inject(self, request: Request) -> Response:
        began = perf_counter()
        try:
            review = _review(await self._bodies.read(request, MAX_BODY_BYTES))
            decision, answer = self._answer(review)
        except (_RefusedError, BodyError) as exc:
            self._metrics.requests.labels("none", "invalid").inc()
            return JSONResponse({"message": str(exc)}, status_code=exc.status)
        mode = "none" if decision.mode is None else decision.mode.value
        self._metrics.requests.labels(mode, decision.result.value).inc()
        self._metrics.request_seconds.observe(perf_counter() - began)
        return JSONResponse(answer)

    def _answer(self, review: JsonObject) -> tuple[Decision, JsonObject]:
        try:
            asked = object_at(review, "request")
            uid, namespace = text_at(asked, "uid"), text_at(asked, "namespace")
            pod = object_at(asked, "object")
        except PodFormatError as exc:
            raise _RefusedError(400, str(exc)) from exc
        if not uid:
            raise _RefusedError(400, "the review has no request with a uid")
        decision = self._source.injector.decide(PodRequest(pod=pod, namespace=namespace, uid=uid))
        if decision.result in (Result.MISSED, Result.REFUSED):
            why = decision.message or " ".join(decision.warnings)
            log.warning("%s namespace=%s: %s", decision.result.value, namespace, why)
        response = _response(uid, decision)
        return decision, {"apiVersion": API_VERSION, "kind": "AdmissionReview", **response}


def _review(body: bytes) -> JsonObject:
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise _RefusedError(400, "the body is no JSON") from exc
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise _RefusedError(400, "the body is no AdmissionReview")
    if review.get("apiVersion") != API_VERSION:
        raise _RefusedError(400, f"reviews are of {API_VERSION}")
    return review


def _response(uid: str, decision: Decision) -> JsonObject:
    response: dict[str, object] = {"uid": uid, "allowed": decision.result is not Result.REFUSED}
    if decision.patch:
        patch = json.dumps(decision.patch, separators=(",", ":")).encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if decision.warnings:
        response["warnings"] = list(decision.warnings)
    if decision.message:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": decision.message}
    return {"response": response}
