"""Lets the real program ask a fake AWS (moto's ECS and EC2) through a recorder that checks each signature and counts each call."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.parse import parse_qs, urlsplit

REGION, ACCOUNT, CLUSTER = "us-east-1", "123456789012", "shop"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/of+nobody"}
# New tasks are gathered for 15 s, and the first call waits up to a minute more; the rest is for a busy machine.
PATIENCE = 240


@contextmanager
def serving(handler):
    """A server on a loopback port, for as long as it is needed: its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def say(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Calls:
    """What one Tare asked, by action, and what was wrong with it. Of tasks only calls that name this one count: others may run on this machine."""

    def __init__(self, task, refuse=()):
        self.task, self.counts, self.wrong, self.refuse = task, {}, [], refuse

    def handler(self, moto):
        calls = self

        class Recorder(Quiet):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target = self.headers.get("X-Amz-Target")
                action = target.split(".")[1] if target else parse_qs(body.decode())["Action"][0]
                service = "ecs" if target else "ec2"
                if action != "DescribeTasks" or calls.task in body.decode():
                    calls.counts[action] = calls.counts.get(action, 0) + 1
                calls.wrong += [f"{action}: {why}" for why in [unsigned(self, service, body)] if why]
                if action in calls.refuse:
                    code = "UnauthorizedOperation"
                    return self.say(403, f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>".encode(), "text/xml")
                request = urllib.request.Request(moto, body, dict(self.headers))
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        self.say(answer.status, answer.read(), answer.headers["Content-Type"])
                except urllib.error.HTTPError as refused:
                    self.say(refused.code, refused.read(), refused.headers["Content-Type"])

        return Recorder


def unsigned(request, service, body):
    """Why a request is not signed as botocore signs it; None: it is."""
    import datetime

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    given = request.headers["Authorization"] or ""
    signed = given.partition("SignedHeaders=")[2].split(",")[0].split(";")
    missing = {"host", "x-amz-date"} - set(signed)
    if missing:
        return f"not signed: {sorted(missing)}"
    auth = SigV4Auth(Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]), service, REGION)
    same = AWSRequest("POST", f"http://{request.headers['Host']}{urlsplit(request.path).path}", data=body, headers={name: request.headers[name] for name in signed})
    now = datetime.datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    same.context["timestamp"] = request.headers["X-Amz-Date"]
    with mock.patch.object(auth, "headers_to_sign", lambda asked: headers(asked, signed)):
        signature = auth.signature(auth.string_to_sign(same, auth.canonical_request(same)), same)
    age = abs((datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - now).total_seconds())
    if not given.endswith(f"Signature={signature}"):
        return "the signature is another one"
    return None if age < 900 else f"signed {age:.0f} s off"


def headers(request, names):
    from http.client import HTTPMessage

    kept = HTTPMessage()
    for name in names:
        kept[name] = request.headers[name]
    return kept


def endpoint(task):
    """The task metadata endpoint of one task with one container."""

    class Task(Quiet):
        def do_GET(self):
            container = {"DockerId": "ab" * 32, "Name": "app", "DockerName": "app", "Image": "app:1", "KnownStatus": "RUNNING", "DesiredStatus": "RUNNING", "Type": "NORMAL"}
            told = {"Cluster": CLUSTER, "TaskARN": task, "Family": "checkout", "Revision": "1", "LaunchType": "EC2", "KnownStatus": "RUNNING", "Containers": [container]}
            known = {"/task": told, "/task/stats": {}}
            self.say(200, json.dumps(known[self.path]).encode()) if self.path in known else self.say(404, b'"no"')

    return Task


def metadata(instance):
    """The metadata service of an instance that says it is on demand."""

    class Imds(Quiet):
        known = {"instance-id": instance, "instance-type": "m7i.large", "instance-life-cycle": "on-demand", "placement/region": REGION}

        def do_PUT(self):
            self.say(200, b"TOKEN", "text/plain")

        def do_GET(self):
            known = self.known.get(self.path.removeprefix("/latest/meta-data/"))
            self.say(200, known.encode(), "text/plain") if known else self.say(404, b"", "text/plain")

    return Imds


class Endless(Quiet):
    """Credentials that never end. Counts the bytes that were taken of them."""

    taken, times = 0, 0

    def do_GET(self):
        Endless.times += 1
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(b'{"AccessKeyId": "')
            while Endless.taken < 1 << 30:
                self.wfile.write(b"A" * (1 << 16))
                Endless.taken += 1 << 16
        except OSError:
            pass


class Tare:
    """The program, beside the one task, asked for its report."""

    def __init__(self, stack, program, task, **variables):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        uri = stack.enter_context(serving(endpoint(task)))
        own = {"TARE_LISTEN": self.address, "TARE_INTERVAL": "5s", "TARE_DOCKER_SOCKET": "", "TARE_ECS_AGENT": "", "TARE_IMDS_ENABLED": "false"}
        aws = {"AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "ECS_CONTAINER_METADATA_URI_V4": uri}
        self.log = stack.enter_context(tempfile.TemporaryFile())
        self.process = subprocess.Popen([program, "run"], env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | own | aws | variables, stdout=self.log, stderr=self.log)
        stack.callback(self.end)

    def end(self):
        self.process.terminate()
        self.process.wait(30)

    def report(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/report.json", timeout=30) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def wait(self, what, holds):
        """The first report of which something holds, and the one two looks later."""
        until = time.monotonic() + PATIENCE
        first, after = None, set()
        while time.monotonic() < until and self.process.poll() is None:
            report = self.report()
            if report and first is None and holds(report):
                first = report
            if first and report and report["at"] != first["at"]:
                after.add(json.dumps(report["at"]))
                if len(after) == 2:
                    return report
            time.sleep(0.5)
        self.log.seek(0)
        raise AssertionError(f"{what} never came; tare says: {self.log.read().decode()[-2000:]}")

    def peak(self):
        """The most memory it ever held, in MiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM:"))


def task_of(report):
    return next((row["about"]["task"] for row in report["workloads"] if row["about"].get("task")), {})


def gaps_of(report):
    return [gap["why"] for gap in report["gaps"] if gap["from"] == "ecs"]


def same(what, expected, seen):
    if expected != seen:
        raise AssertionError(f"{what}: expected {expected}, seen {seen}")


@contextmanager
def moto():
    """moto's server, with one task that runs on a Spot instance: its URL, the instance's id and the task's ARN."""
    import logging

    import boto3
    from moto.moto_api import state_manager
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Else a task goes on at every look.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1000})
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        given = {"region_name": REGION, "endpoint_url": url, "aws_access_key_id": "none", "aws_secret_access_key": "none"}
        ec2, ecs = boto3.client("ec2", **given), boto3.client("ecs", **given)
        ask = {"ImageId": ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"], "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
        # One on demand, which must not be taken for the other.
        ec2.run_instances(**ask)
        instance = ec2.run_instances(**ask, InstanceMarketOptions={"MarketType": "spot"})["Instances"][0]["InstanceId"]
        ecs.create_cluster(clusterName=CLUSTER)
        ecs.register_container_instance(cluster=CLUSTER, instanceIdentityDocument=json.dumps({"instanceId": instance}))
        ecs.register_task_definition(family="checkout", containerDefinitions=[{"name": "app", "image": "app:1", "cpu": 10, "memory": 20}])
        (task,) = ecs.run_task(cluster=CLUSTER, taskDefinition="checkout", launchType="EC2")["tasks"]
        yield url, instance, task["taskArn"]
    finally:
        server.stop()


def tare_asks_aws(program):
    """Tare asks AWS once for its task, its instance and whether that is Spot, signs as AWS does, and lives with what it is refused."""
    with ExitStack() as stack:
        url, instance, task = stack.enter_context(moto())

        def start(refuse=(), ends=("AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL_EC2"), **variables):
            calls = Calls(task, refuse)
            recorder = stack.enter_context(serving(calls.handler(url)))
            ends = dict.fromkeys(ends, recorder)
            return calls, Tare(stack, program, task, **{"TARE_ECS_API": "on"} | KEYS | ends | variables)

        told = stack.enter_context(serving(metadata(instance)))
        endless = stack.enter_context(serving(Endless))
        nobody = {name: "" for name in KEYS} | {"TARE_ECS_API": "auto", "AWS_CONTAINER_CREDENTIALS_FULL_URI": endless}
        # All at once: each gathers for a while.
        shut, beside = start(), start(TARE_IMDS_ENABLED="true", TARE_IMDS_ENDPOINT=told)
        # The one that is refused sits behind a proxy, and AWS has one address for all.
        denied = start(refuse=["DescribeInstances"], ends=["HTTP_PROXY"], AWS_ENDPOINT_URL="http://aws.invalid")
        flooded = start(**nobody)

        calls, tare = shut
        report = tare.wait("Spot", lambda report: task_of(report).get("spot") is not None)
        at = report["host"]["seen"]["instance"]
        same("the instance", [instance, "m7i.large", "spot", REGION, ACCOUNT], [at[name] for name in ("id", "kind", "market", "region", "account")])
        same("the task", [True, CLUSTER], [task_of(report)[name] for name in ("spot", "cluster")])
        same("the agent", "1.0.0", report["host"]["seen"]["ecs"]["agent"])
        same("the gaps", [], gaps_of(report))
        same("the calls", {"DescribeTasks": 1, "DescribeContainerInstances": 1, "DescribeInstances": 1}, calls.counts)

        calls, tare = beside
        report = tare.wait("the instance", lambda report: report["host"]["seen"].get("ecs"))
        same("the metadata service is believed", ["on-demand", False], [report["host"]["seen"]["instance"]["market"], task_of(report)["spot"]])
        same("the calls beside the metadata service", {"DescribeTasks": 1, "DescribeContainerInstances": 1}, calls.counts)

        calls, tare = denied
        report = tare.wait("the refusal", gaps_of)
        (gap,) = gaps_of(report)
        same("the action is named", True, gap.startswith("ec2:DescribeInstances is not allowed"))
        at = report["host"]["seen"]["instance"]
        same("what is known without it", [instance, "m7i.large", None, None], [at["id"], at["kind"], at["market"], task_of(report)["spot"]])
        same("the calls of one that is refused", {"DescribeTasks": 1, "DescribeContainerInstances": 1, "DescribeInstances": 1}, calls.counts)

        calls, tare = flooded
        report = tare.wait("the flood", gaps_of)
        same("without credentials nothing is asked", {}, calls.counts)
        # 8 MiB an answer, and what the kernel holds on its way.
        same("a flood is not drunk", True, 0 < Endless.taken <= Endless.times * (32 << 20))
        same("and costs no memory", True, tare.peak() < 160)
        for calls, _ in (shut, beside, denied):
            same("signatures", [], calls.wrong)
