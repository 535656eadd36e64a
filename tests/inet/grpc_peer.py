"""grpc_peer.py - gRPC as others build it (grpcio): a server for the rig's Internet, and a client for the guest's side

grpc_peer.py server ADDRESS CERTIFICATE LOG: TLS on port 443; each call is a line in LOG. "ready" when it listens.
grpc_peer.py client PORT CA: calls of every kind over 127.0.0.1:PORT as grpc.test, told as JSON on stdout.
Messages are plain bytes: no code is generated.
"""
import json
import os
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "demo.Echo"


def serve(address, certificate, path):
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def seen(name, context):
        fields = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        os.write(log, (json.dumps({"method": name, "fields": fields}) + "\n").encode())
        context.send_initial_metadata((("x-head", "first"),))
        context.set_trailing_metadata((("x-tail", "last"), ("x-tail-bin", b"\0\xff")))

    def unary(request, context):
        seen("Unary", context)
        return request

    def stream_down(request, context):
        seen("Down", context)
        for n in range(int(request)):
            yield b"%d" % n

    def stream_up(requests, context):
        seen("Up", context)
        sizes = [len(r) for r in requests]
        return b"%d %d" % (len(sizes), sum(sizes))

    def both(requests, context):
        seen("Both", context)
        for r in requests:
            yield r.upper()

    def fail(request, context):
        seen("Fail", context)
        context.abort(grpc.StatusCode.NOT_FOUND, "n\u00f6 such thing 100%")

    def late_fail(request, context):
        seen("LateFail", context)
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "half way")

    def slow(request, context):
        seen("Slow", context)
        threading.Event().wait(3)
        return b""

    one, down = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    methods = {"Unary": one(unary), "Secret": one(unary), "Fail": one(fail), "Slow": one(slow), "Down": down(stream_down),
               "LateFail": down(late_fail), "Up": grpc.stream_unary_rpc_method_handler(stream_up),
               "Both": grpc.stream_stream_rpc_method_handler(both)}
    methods["Secret"] = one(lambda request, context: seen("Secret", context) or request)
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 16 << 20)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    pem = open(certificate, "rb").read()
    server.add_secure_port(f"{address}:443", grpc.ssl_server_credentials([(pem, pem)]))
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(0)


def call(port, ca):
    options = [("grpc.ssl_target_name_override", "grpc.test"), ("grpc.default_authority", "grpc.test"),
               ("grpc.max_receive_message_length", 16 << 20), ("grpc.enable_http_proxy", 0)]
    out = {}
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(open(ca, "rb").read()), options) as channel:
        def told(name, work):
            try:
                out[name] = work()
            except grpc.RpcError as fault:
                out[name] = {"code": fault.code().name, "details": fault.details(),
                             "tail": [[k, v] for k, v in fault.trailing_metadata() or () if isinstance(v, str)]}

        def path(name):
            return f"/{SERVICE}/{name}"

        def unary():
            answer, more = channel.unary_unary(path("Unary")).with_call(b"ping", metadata=(("x-mine", "1"),), timeout=20)
            return {"answer": answer.decode(), "code": more.code().name, "head": dict(more.initial_metadata()).get("x-head"),
                    "tail": dict(more.trailing_metadata()).get("x-tail"),
                    "binary": list(dict(more.trailing_metadata()).get("x-tail-bin", b""))}

        def both():
            got, mine, go = [], [b"a%d" % n for n in range(20)], threading.Semaphore(1)

            def ask():
                for one in mine:  # each only when the last was answered
                    go.acquire()
                    yield one

            for answer in channel.stream_stream(path("Both"))(ask(), timeout=30):
                got.append(answer.decode())
                go.release()
            return got

        def half():
            got = []
            try:
                for answer in channel.unary_stream(path("LateFail"))(b"", timeout=20):
                    got.append(answer.decode())
            except grpc.RpcError as fault:
                got += [fault.code().name, fault.details()]
            return got

        big = bytes(range(256)) * (3 << 12)
        told("unary", unary)
        told("down", lambda: [b.decode() for b in channel.unary_stream(path("Down"))(b"5", timeout=20)])
        told("up", lambda: channel.stream_unary(path("Up"))((b"x" * 10000 for _ in range(100)), timeout=30).decode())
        told("both", both)
        told("fail", lambda: channel.unary_unary(path("Fail"))(b"", timeout=20).decode())
        told("late", half)
        told("big", lambda: channel.unary_unary(path("Unary"))(big, timeout=30) == big)
        told("secret", lambda: channel.unary_unary(path("Secret"))(b"x", timeout=20).decode())
        told("secret stream", lambda: channel.stream_unary(path("Secret"))((b"x" * 1000 for _ in range(50)), timeout=20).decode())
        told("other service", lambda: channel.unary_unary("/demo.Other/Unary")(b"x", timeout=20).decode())
        told("slow", lambda: channel.unary_unary(path("Slow"))(b"", timeout=0.5).decode())
        told("after", unary)
    print(json.dumps(out))


if __name__ == "__main__":
    serve(*sys.argv[2:5]) if sys.argv[1] == "server" else call(*sys.argv[2:4])
