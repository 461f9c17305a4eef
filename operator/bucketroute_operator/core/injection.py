"""What is to become of a pod that asks for BucketRoute by its label: a pure function of the pod.

A pod of mode `env` is always admitted; if it cannot be served, a warning says why. A pod of mode
`sidecar` is refused then: without the sidecar it could reach no bucket, and nobody would know why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from bucketroute_operator.core.injected_env import (
    LOGIN_VOLUME,
    Additions,
    gateway_additions,
    sidecar_additions,
)
from bucketroute_operator.core.injected_sidecar import (
    SIDECAR_NAME,
    SidecarTemplate,
    sidecar_container,
    sidecar_volumes,
    token_volume,
)
from bucketroute_operator.core.injector_classes import DEFAULT_CLASS, InjectorClass
from bucketroute_operator.core.raw_pod import (
    Container,
    JsonObject,
    PodFormatError,
    added,
    added_to_list,
    containers_of,
    object_at,
    objects_at,
    text_at,
)

MODE_LABEL = "bucketroute.io/inject"
CLASS_LABEL = "bucketroute.io/class"
INJECTED_ANNOTATION = "bucketroute.io/injected"
# Says why not. The API server's own warning is for pods that have neither: nobody was asked.
NOT_INJECTED_ANNOTATION = "bucketroute.io/not-injected"
# An hour, and five minutes more or less for each pod: a fleet that renews together is a storm.
_TOKEN_SECONDS = 3600
_TOKEN_JITTER_SECONDS = 300
# The API server cuts off what is longer in total than 4,096 characters.
_MAX_WARNINGS = 10
_MAX_WARNING_LENGTH = 256


class Mode(Enum):
    ENV = "env"
    SIDECAR = "sidecar"


class Result(Enum):
    """A metric's label. MISSED: admitted, but without what it asked for."""

    INJECTED = "injected"
    UNCHANGED = "unchanged"
    MISSED = "missed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`patch` is a JSON Patch; `message` says why a pod is refused."""

    mode: Mode | None
    result: Result
    patch: tuple[JsonObject, ...] = ()
    warnings: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """A pod before it is stored. `uid` is the request's; the pod may have no name yet."""

    pod: JsonObject
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Injector:
    """What pods are given. `classes` is None until it is known; `version` goes on each pod."""

    classes: Mapping[str, InjectorClass] | None
    sidecar: SidecarTemplate | None
    version: str

    def decide(self, request: PodRequest) -> Decision:
        """Never raises: whatever the pod looks like, it is admitted or refused with a reason."""
        mode = None
        try:
            mode = _mode_of(request.pod)
            if mode is None:
                return Decision(mode=None, result=Result.UNCHANGED)
            patch, warnings = self._plan(mode, request)
        except (_CannotInjectError, PodFormatError) as exc:
            if mode is Mode.SIDECAR:
                return Decision(mode=mode, result=Result.REFUSED, message=f"bucketroute: {exc}")
            return _missed(mode, request.pod, str(exc)[:_MAX_WARNING_LENGTH])
        return Decision(
            mode=mode,
            result=Result.INJECTED if patch else Result.UNCHANGED,
            patch=tuple(patch),
            warnings=tuple(f"bucketroute: {text}"[:_MAX_WARNING_LENGTH] for text in warnings)[
                :_MAX_WARNINGS
            ],
        )

    def _plan(self, mode: Mode, request: PodRequest) -> tuple[list[JsonObject], list[str]]:
        class_name = text_at(_labels(request.pod), CLASS_LABEL) or DEFAULT_CLASS
        settings = self._class(class_name)
        if mode is Mode.ENV:
            patch, warnings = _plan_env(request, settings, class_name)
        else:
            if self.sidecar is None:
                raise _CannotInjectError("the injector has no image or authority for sidecars yet")
            patch, warnings = _plan_sidecar(request, settings, class_name, self.sidecar)
        return [*patch, *_annotated(request.pod, INJECTED_ANNOTATION, self.version)], warnings

    def _class(self, name: str) -> InjectorClass:
        if self.classes is None:
            raise _CannotInjectError("the injector does not know the classes yet")
        if name not in self.classes:
            raise _CannotInjectError(f"there is no BucketRouteClass {name}")
        return self.classes[name]


class _CannotInjectError(Exception):
    """Why this pod cannot have what it asks for, for whoever made it."""


def _missed(mode: Mode | None, pod: JsonObject, why: str) -> Decision:
    """Admitted as it is but for the reason, which whoever has the pod can read there, too."""
    try:
        patch = _annotated(pod, NOT_INJECTED_ANNOTATION, why)
    except PodFormatError:
        patch = []
    warning = f"bucketroute: this pod is not set up for its buckets: {why}"
    return Decision(mode=mode, result=Result.MISSED, patch=tuple(patch), warnings=(warning,))


def _annotated(pod: JsonObject, name: str, value: str) -> list[JsonObject]:
    annotations = object_at(object_at(pod, "metadata"), "annotations")
    path = ("metadata", "annotations")
    if name in annotations:
        return []
    if not annotations:
        return [added(path, {name: value})]
    return [added((*path, name), value)]


def _plan_env(
    request: PodRequest, settings: InjectorClass, class_name: str
) -> tuple[list[JsonObject], list[str]]:
    endpoint = settings.endpoint
    if endpoint is None:
        raise _CannotInjectError(f"class {class_name} has no gateway, only sidecars")

    def additions(container: Container) -> Additions:
        return gateway_additions(container, settings, endpoint, request.pod, request.namespace)

    patch, warnings, mounted = _filled_containers(request.pod, additions)
    if mounted:
        audiences = {"token": settings.client_audience}
        volume = token_volume(LOGIN_VOLUME, audiences, _expiration_seconds(request.uid))
        patch += _with_volumes(request.pod, (volume,))
    return patch, warnings


def _plan_sidecar(
    request: PodRequest, settings: InjectorClass, class_name: str, template: SidecarTemplate
) -> tuple[list[JsonObject], list[str]]:
    spec = object_at(request.pod, "spec")
    if spec.get("hostNetwork"):
        raise _CannotInjectError(
            "a pod of the host's network cannot have a sidecar: every process of the node could "
            "use it; take inject=env"
        )
    patch, warnings, _ = _filled_containers(
        request.pod, lambda container: sidecar_additions(container, settings)
    )
    patch += _with_volumes(request.pod, sidecar_volumes(settings, _expiration_seconds(request.uid)))
    present = [item for item in containers_of(request.pod) if item.name == SIDECAR_NAME]
    if any(not item.is_native_sidecar for item in present):
        raise _CannotInjectError(f"the container name {SIDECAR_NAME} is for the sidecar")
    if not present:
        # Last in the patch, since it moves the others; first in the list, since they may need S3.
        path = ("spec", "initContainers")
        container = sidecar_container(template, class_name)
        if objects_at(spec, "initContainers"):
            patch.append(added((*path, "0"), container))
        else:
            patch.append(added(path, [container]))
    return patch, warnings


def _filled_containers(
    pod: JsonObject, additions_of: Callable[[Container], Additions]
) -> tuple[list[JsonObject], list[str], bool]:
    """The patch of all containers but the sidecar, warnings, and whether any mounts a volume."""
    patch: list[JsonObject] = []
    warnings: list[str] = []
    mounted = False
    for container in containers_of(pod):
        if container.name == SIDECAR_NAME:
            continue
        additions = additions_of(container)
        patch += container.add("env", additions.variables)
        patch += container.add("volumeMounts", additions.mounts)
        warnings += additions.warnings
        mounted = mounted or bool(additions.mounts)
        if additions.variables and objects_at(container.raw, "envFrom"):
            warnings.append(
                f"container {container.name}: AWS variables of envFrom are not seen here and lose "
                "against those added"
            )
    return patch, warnings, mounted


def _with_volumes(pod: JsonObject, volumes: tuple[JsonObject, ...]) -> list[JsonObject]:
    spec = object_at(pod, "spec")
    present = {text_at(item, "name") for item in objects_at(spec, "volumes")}
    missing = [item for item in volumes if item["name"] not in present]
    return added_to_list(spec, ("spec", "volumes"), missing)


def _mode_of(pod: JsonObject) -> Mode | None:
    value = text_at(_labels(pod), MODE_LABEL)
    return Mode(value) if value in (Mode.ENV.value, Mode.SIDECAR.value) else None


def _labels(pod: JsonObject) -> JsonObject:
    return object_at(object_at(pod, "metadata"), "labels")


def _expiration_seconds(uid: str) -> int:
    """The same for the same request: the patch stays a pure function."""
    spread = int.from_bytes(sha256(uid.encode()).digest()[:4], "big")
    return _TOKEN_SECONDS - _TOKEN_JITTER_SECONDS + spread % (2 * _TOKEN_JITTER_SECONDS + 1)
