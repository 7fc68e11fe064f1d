"""`segops rollout` on a real cluster: a new version, one that does not come, and one that does not start."""

import json
from collections.abc import Callable, Iterator

import pytest
from client_pods import pod
from lab.kubernetes import Kubectl
from lab.shell import CommandError, wait_until
from operators import Hire
from release import NAME, Release, name_of
from streams import Clip, Streams, check_all


def image_of(here: Kubectl) -> str:
    containers = here.get("deployment", NAME)["spec"]["template"]["spec"]["containers"]
    return next(str(container["image"]) for container in containers if container["name"] == "triton")


def test_rollout_tries_a_version_on_one_pod_and_goes_on(
    release: Release, streams: Streams, camera: Clip, hire: Hire, here: Kubectl, next_tag: str
) -> None:
    release.install()
    old, [server] = image_of(here), [name_of(one) for one in release.pods()]
    new = f"{old.rpartition(':')[0]}:{next_tag}"
    running = streams.start(release.address, camera, count=1)
    release.wait_for_sessions(1)
    # What a busy lab of two cores does to latencies is not what is tested.
    patience = ("--times", 1, "--seconds", 15)
    done = hire("rollout")("-o", "json", "rollout", new, "--sessions", 2, *patience).check().result
    assert (done["from"], done["to"]) == (old, new)
    for kind in ("running", "canary"):
        assert (done[kind]["sessions"], done[kind]["whole"]) == (2, 2)
    assert image_of(here) == new
    release.wait_for_ready_pods(1)
    assert not here.items("pods", "-l", "app.kubernetes.io/component=canary")
    release.wait_until_gone(server)
    assert min(check_all(running)) >= 1


def forbid_pods(kubectl: Kubectl, here: Kubectl, name: str, image: str) -> None:
    """Lets no pod of the server's be made of an image any more; other pods may be, the canary, too."""
    is_server = "has(object.metadata.labels) && object.metadata.labels['app.kubernetes.io/component'] == 'server'"
    is_other = f"!({is_server}) || object.spec.containers.all(one, one.image != '{image}')"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": is_other, "message": "this image is not wanted"}],
    }
    only_here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": here.namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": only_here}
    made = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    kubectl.apply({**made, "kind": "ValidatingAdmissionPolicy", "spec": policy})
    kubectl.apply({**made, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding})

    tried = pod("tried", image, "true")
    tried["metadata"]["labels"] = {"app.kubernetes.io/component": "server"}

    def is_in_force() -> bool:
        try:
            here("create", "--dry-run=server", "--filename=-", stdin=json.dumps(tried))
        except CommandError as error:
            return "this image is not wanted" in str(error)
        return False

    wait_until("the policy is in force", is_in_force)


@pytest.fixture
def policy(kubectl: Kubectl, here: Kubectl) -> Iterator[Callable[[str], None]]:
    """Forbids servers of an image, until the test ends."""
    name = f"{here.namespace}-images"
    yield lambda image: forbid_pods(kubectl, here, name, image)
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        kubectl("delete", kind, name, "--ignore-not-found")


def test_rollout_goes_back_where_the_new_pods_do_not_come(
    release: Release,
    streams: Streams,
    camera: Clip,
    hire: Hire,
    here: Kubectl,
    policy: Callable[[str], None],
    next_tag: str,
) -> None:
    release.install()
    old, [server] = image_of(here), [name_of(one) for one in release.pods()]
    new = f"{old.rpartition(':')[0]}:{next_tag}"
    running = streams.start(release.address, camera, count=1)
    release.wait_for_sessions(1)
    policy(new)
    patience = ("--times", 1, "--seconds", 15, "--timeout", 30)
    refused = hire("rollout")("rollout", new, "--sessions", 1, *patience)
    assert refused.status == 1
    assert "1 of 1" in refused.text, "the canary was well"
    assert f"going back to {old}" in refused.text
    assert f"all pods run {old} again" in refused.errors
    assert image_of(here) == old
    assert [name_of(one) for one in release.ready_pods()] == [server]
    assert check_all(running) == [0], "no session noticed"


def test_rollout_leaves_all_as_it_is_where_the_new_version_does_not_start(
    release: Release, hire: Hire, here: Kubectl
) -> None:
    release.install()
    old, [pod] = image_of(here), [name_of(pod) for pod in release.pods()]
    operator = hire("rollout")
    operator("--dry-run", "rollout", "localhost/segtriton/no-such-image:1").check()
    refused = operator("rollout", "localhost/segtriton/no-such-image:1", "--timeout", 15)
    assert refused.status == 1
    assert "ImagePull" in refused.errors
    assert image_of(here) == old
    assert [name_of(pod) for pod in release.ready_pods()] == [pod]
    assert not here.items("pods", "-l", "app.kubernetes.io/component=canary")
