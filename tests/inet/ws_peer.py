"""ws_peer.py - WebSockets as others build them (python3-websockets): a server for the rig's Internet, a client for the guest's side

ws_peer.py server ADDRESS CERTIFICATE LOG: TLS on port 443. "ready" when it listens.
ws_peer.py client PORT CA: connections of every kind over 127.0.0.1:PORT to socket.test, told as JSON on stdout.
"""
import asyncio
import json
import os
import ssl
import sys
import time

import websockets

NAME = "socket.test"


async def serve(address, certificate, path):
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def on(ws, where):
        os.write(log, (json.dumps({"path": where, "extensions": [e.name for e in ws.extensions], "protocol": ws.subprotocol,
                                   "fields": {k.lower(): v for k, v in ws.request_headers.items()}}) + "\n").encode())
        async for message in ws:
            if message == "close":
                await ws.close(4321, "as asked \u00e9")
                return
            elif message == "ping":
                await (await ws.ping(b"are you there"))
                await ws.send("you are")
            elif message == "pieces":
                await ws.send(["in ", "three ", "pieces"])
            else:
                await ws.send(message)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with websockets.serve(on, address, 443, ssl=context, max_size=8 << 20, close_timeout=60, subprotocols=["chat.v2", "chat.v1"]):
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def call(port, ca):
    context = ssl.create_default_context(cafile=ca)
    out = {}

    def connect(path, **more):
        return websockets.connect(f"wss://{NAME}{path}", host="127.0.0.1", port=int(port), ssl=context, server_hostname=NAME, max_size=8 << 20, open_timeout=30, close_timeout=60,
                                  ping_interval=None, **more)

    async def told(name, work):
        began = time.monotonic()
        try:
            out[name] = await asyncio.wait_for(work, 100)
        except websockets.InvalidStatusCode as fault:
            out[name] = {"status": fault.status_code, "decision": fault.headers.get("x-sbx-decision")}
        except websockets.ConnectionClosed as fault:
            out[name] = {"closed": fault.rcvd.code if fault.rcvd else None, "reason": fault.rcvd.reason if fault.rcvd else None}

        finally:
            out["seconds"] = max(out.get("seconds", 0), time.monotonic() - began)

    async def talk(**more):
        big = bytes(range(256)) * (1 << 13)
        async with connect("/ws/talk", **more) as ws:
            got = {"protocol": ws.subprotocol, "extensions": [e.name for e in ws.extensions]}
            await ws.send("t\u00e9xt")
            got["text"] = await ws.recv()
            await ws.send(b"\0\1\xff")
            got["binary"] = list(await ws.recv())
            await ws.send(big)
            got["big"] = await ws.recv() == big
            await ws.send([b"a" * 100000, b"b" * 100000, b"c"])
            got["fragments"] = len(await ws.recv())
            await ws.send("pieces")
            got["pieces"] = await ws.recv()
            await ws.send("ping")
            got["ping"] = await ws.recv()
            await (await ws.ping(b"mine"))
            for n in range(200):
                await ws.send(f"m{n}")
            got["many"] = [await ws.recv() for n in range(200)] == [f"m{n}" for n in range(200)]
            return got

    async def closed():
        async with connect("/ws/close") as ws:
            await ws.send("close")
            await ws.recv()

    async def refused(path):
        async with connect(path) as ws:
            await ws.send("x")
            return await ws.recv()

    await told("deflate", talk(subprotocols=["chat.v1", "chat.v9"]))
    await told("plain", talk(compression=None))
    await told("close", closed())
    await told("denied", refused("/other"))
    await told("spelled", refused("/ws/..%2fother"))
    print(json.dumps(out))


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[2:5]) if sys.argv[1] == "server" else call(*sys.argv[2:4]))
