"""models.py - the APIs of models as agents speak them: one tool call, then what it gave

The prompt says what the model shall do: `RUN(command)NOW`. Asked with a tool that runs commands it answers with
one call of it; asked again with the call's output it says `RESULT(output)END`. Without a command it says "ready".
A request without the real key is refused with 401, as the APIs do. respond() is called by servers.py.
"""
import base64
import hashlib
import json
import re
import struct

MARK = re.compile(r"kits-memory/[0-9a-z-]+\.md|a virtual machine of your own")  # of the texts for agents: what arrived is logged
RUN = re.compile(r"RUN\((.*?)\)NOW", re.S)
SHELLS = ("Bash", "bash", "exec_command", "shell_command", "shell", "run_shell_command", "execute_command", "run_commands", "execute")
COPILOT, QWEN = "api.githubcopilot.com", "dashscope-intl.aliyuncs.com"


def wanted(events):
    """(command or None, output or None) of the last prompt: @events are ("user" or "result", text) in order."""
    command = output = None
    for kind, text in events:
        found = RUN.findall(text) if kind == "user" else ()
        if found:
            command, output = found[-1], None
        elif kind == "result" and command:
            output = text
    return command, output


def said(output):
    return "ready" if output is None else f"RESULT({output.strip()})END"


def fill(schema, command):
    """Arguments for a tool that runs commands, by its own description of them."""
    out = {}
    for name, kind in (schema.get("properties") or {}).items():
        is_list = "array" in str(kind.get("type"))
        if name in ("command", "cmd", "commands", "script"):
            one = ["sh", "-c", command] if name == "command" else [command]
            if is_list and "object" in str(kind.get("items", {}).get("type")):
                one = [{"command": command}]
            out[name] = one if is_list else command
        elif name in (schema.get("required") or ()):
            out[name] = {"boolean": False, "number": 1, "integer": 1, "array": []}.get(kind.get("type"), "as asked")
    return out


def shell(tools):
    """(name, schema) of the one that runs commands, among [(name, schema)]"""
    for name in SHELLS:
        for tool in tools:
            if tool[0] == name:
                return tool
    return None


def marks(body):
    return sorted(set(MARK.findall(body.decode(errors="replace"))))


def texts(content):
    if isinstance(content, str):
        return content
    return "\n".join(x if isinstance(x, str) else x.get("text") or texts(x.get("content") or "") for x in content or ())


def event(p, kind, data):
    p.chunk(((f"event: {kind}\n" if kind else "") + "data: " + (data if isinstance(data, str) else json.dumps(data)) + "\n\n").encode())


def stream(p):
    p.send(200, headers=[("content-type", "text/event-stream"), ("cache-control", "no-cache")], chunked=True)


def answer(p, status, what):
    p.send(status, json.dumps(what).encode(), [("content-type", "application/json")])


# ---- Anthropic's Messages ----


def anthropic(p, ask):
    if p.url.path.endswith("/count_tokens"):
        answer(p, 200, {"input_tokens": 1000})
        return
    events = []
    for message in ask["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "tool_result":
                events.append(("result", texts(block.get("content"))))
            elif block["type"] == "text" and message["role"] == "user":
                events.append(("user", block["text"]))
    tool = shell([(t["name"], t.get("input_schema", {})) for t in ask.get("tools", ())])
    command, output = wanted(events)
    call = command and output is None and tool
    block = {"type": "tool_use", "id": "toolu_1", "name": tool[0], "input": {}} if call else {"type": "text", "text": ""}
    given = fill(tool[1], command) if call else said(output)
    reason = "tool_use" if call else "end_turn"
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": ask["model"], "stop_sequence": None,
             "usage": {"input_tokens": 10, "output_tokens": 10}}
    if not ask.get("stream"):
        answer(p, 200, {**whole, "stop_reason": reason, "content": [{**block, "input": given} if call else {**block, "text": given}]})
        return
    stream(p)
    delta = {"type": "input_json_delta", "partial_json": json.dumps(given)} if call else {"type": "text_delta", "text": given}
    for one in ({"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
                {"type": "content_block_start", "index": 0, "content_block": block},
                {"type": "content_block_delta", "index": 0, "delta": delta},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 10}},
                {"type": "message_stop"}):
        event(p, one["type"], one)
    p.chunk(b"")


# ---- OpenAI's Chat Completions ----


def chat(p, ask):
    events = []
    for message in ask["messages"]:
        if message["role"] in ("user", "tool"):
            events.append(("user" if message["role"] == "user" else "result", texts(message.get("content"))))
    tool = shell([(t["function"]["name"], t["function"].get("parameters", {})) for t in ask.get("tools") or () if "function" in t])
    command, output = wanted(events)
    call = command and output is None and tool
    message = {"role": "assistant", "content": None if call else said(output)}
    if call:
        message["tool_calls"] = [{"index": 0, "id": "call_1", "type": "function",
                                  "function": {"name": tool[0], "arguments": json.dumps(fill(tool[1], command))}}]
    whole = {"id": "chatcmpl-1", "created": 1, "model": ask["model"]}
    reason, usage = "tool_calls" if call else "stop", {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    if not ask.get("stream"):
        answer(p, 200, {**whole, "object": "chat.completion", "usage": usage,
                        "choices": [{"index": 0, "message": message, "finish_reason": reason}]})
        return
    stream(p)
    whole["object"] = "chat.completion.chunk"
    event(p, None, {**whole, "choices": [{"index": 0, "delta": message, "finish_reason": None}]})
    event(p, None, {**whole, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    event(p, None, {**whole, "choices": [], "usage": usage})
    event(p, None, "[DONE]")
    p.chunk(b"")


# ---- OpenAI's Responses, as events or over a WebSocket ----


def offered(ask, items):
    """All tools, also those that come as an item of the conversation and in name spaces."""
    given = [*(ask.get("tools") or ()), *(t for i in items if i.get("type") == "additional_tools" for t in i["tools"])]
    flat = []
    for tool in given:
        flat += [{**t, "namespace": tool["name"]} for t in tool["tools"]] if tool["type"] == "namespace" else [tool]
    return [{"name": t["type"], **t} for t in flat]


def responses_events(ask, items, log):
    """What is answered to one request; @items is all input of the conversation so far."""
    events = []
    for item in items:
        if item.get("type", "message") == "message" and item.get("role") == "user":
            events.append(("user", texts(item.get("content"))))
        elif item.get("type", "").endswith("_output"):
            out = item.get("output")
            events.append(("result", texts(out) if isinstance(out, (str, list)) else json.dumps(out)))
    tools = offered(ask, items)
    command, output = wanted(events)
    tool = shell([(t["name"], t.get("parameters") or {}) for t in tools if t["type"] == "function"])
    free = [t for t in tools if t["type"] == "custom" and t["name"] == "exec"]
    call = command and output is None and (tool or free)
    log(model="responses", tools=[t["name"] for t in tools], call=bool(call))
    if call and tool:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": tool[0], "arguments": json.dumps(fill(tool[1], command))}
    elif call:  # the tool is a program in JavaScript that has the others as functions
        program = f"const r = await tools.exec_command({json.dumps({'cmd': command})}); text(r.output);"
        item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "exec", "input": program,
                **({"namespace": free[0]["namespace"]} if "namespace" in free[0] else {})}
    else:
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": said(output), "annotations": []}]}
    whole = {"id": "resp_1", "object": "response", "created_at": 1, "model": ask.get("model"), "status": "in_progress", "output": []}
    usage = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20, "input_tokens_details": {"cached_tokens": 0},
             "output_tokens_details": {"reasoning_tokens": 0}}
    out = [{"type": "response.created", "response": whole}]
    if ask.get("generate") is not False:
        out += [{"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", **({"content": []} if "content" in item else {})}}]
        if "content" in item:
            out += [{"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": said(output)}]
        out += [{"type": "response.output_item.done", "output_index": 0, "item": item}]
    out += [{"type": "response.completed", "response": {**whole, "status": "completed", "output": [item] if len(out) > 1 else [], "usage": usage}}]
    return [{**one, "sequence_number": n} for n, one in enumerate(out)]


def input_items(ask):
    given = ask.get("input") or []
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def responses(p, ask, log):
    stream(p)
    for one in responses_events(ask, input_items(ask), log):
        event(p, one["type"], one)
    p.chunk(b"")


def frame(p):
    """One message of a client: (opcode, bytes)"""
    whole, first = b"", 0
    while True:
        one, two = p.exactly(2)
        size = two & 127
        if size > 125:
            size = struct.unpack(">H", p.exactly(2))[0] if size == 126 else struct.unpack(">Q", p.exactly(8))[0]
        mask = p.exactly(4) if two & 128 else b"\0\0\0\0"
        data = p.exactly(size)
        key = int.from_bytes(mask * (size // 4 + 1), "big") >> (8 * (4 - size % 4)) if size else 0
        whole += (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")
        first = first or one & 15
        if one & 128:
            return first, whole


def say(p, opcode, data):
    size = len(data)
    head = bytes([0x80 | opcode]) + (bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size))
    p.sock.sendall(head + data)


def websocket(p, log):
    accept = base64.b64encode(hashlib.sha1((p.field["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    p.sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
    items = []
    while True:
        opcode, data = frame(p)
        if opcode == 8:
            say(p, 8, data)
            raise EOFError
        if opcode == 9:
            say(p, 10, data)
        if opcode != 1:
            continue
        ask = json.loads(data)
        log(at=p.place, ws=1, size=len(data), text=data[:200].decode("latin-1"), marks=marks(data))
        items = (items if ask.get("previous_response_id") else []) + input_items(ask)
        for one in responses_events(ask, items, log):
            say(p, 1, json.dumps(one).encode())


# ---- Google's generateContent ----


def gemini(p, ask):
    if p.url.path.endswith(":countTokens"):
        answer(p, 200, {"totalTokens": 1000})
        return
    events = []
    for content in ask["contents"] if isinstance(ask["contents"], list) else [ask["contents"]]:
        for part in content.get("parts", ()):
            if "functionResponse" in part:
                given = part["functionResponse"]["response"]
                events.append(("result", str(given.get("output", json.dumps(given)))))
            elif content.get("role", "user") == "user" and part.get("text"):
                events.append(("user", part["text"]))
    declared = [f for t in ask.get("tools") or () for f in t.get("functionDeclarations", ())]
    tool = shell([(f["name"], f.get("parameters") or f.get("parametersJsonSchema") or {}) for f in declared])
    command, output = wanted(events)
    call = command and output is None and tool
    text = said(output)
    if "json" in (ask.get("generationConfig", {}).get("responseMimeType") or ""):  # asked which model shall answer
        text = json.dumps({"reasoning": "as asked", "model_choice": "flash", "complexity_reasoning": "as asked", "complexity_score": 1})
    part = {"functionCall": {"name": tool[0], "args": fill(tool[1], command)}} if call else {"text": text}
    whole = {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
             "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}, "modelVersion": "mock"}
    if ":stream" not in p.url.path:
        answer(p, 200, whole)
        return
    stream(p)
    event(p, None, whole)
    p.chunk(b"")


# ---- GitHub's Copilot ----

MODEL = {"id": "claude-sonnet-4.5", "name": "Claude Sonnet 4.5", "object": "model", "vendor": "Anthropic", "version": "claude-sonnet-4.5", "preview": False,
         "model_picker_enabled": True, "model_picker_category": "versatile", "is_chat_default": True, "is_chat_fallback": True,
         "policy": {"state": "enabled", "terms": ""}, "supported_endpoints": ["/chat/completions"], "billing": {"is_premium": False, "multiplier": 0},
         "capabilities": {"family": "claude-sonnet-4.5", "type": "chat", "object": "model_capabilities", "tokenizer": "o200k_base",
                          "limits": {"max_context_window_tokens": 128000, "max_output_tokens": 16384, "max_prompt_tokens": 128000},
                          "supports": {"streaming": True, "tool_calls": True, "parallel_tool_calls": True}}}


def copilot(p):
    """What it asks of GitHub before it speaks to a model; None: it can do without."""
    if p.url.path == "/copilot_internal/user":
        return {"login": "someone", "copilot_plan": "individual", "access_type_sku": "free", "chat_enabled": True, "assigned_date": None,
                "endpoints": {"api": "https://api.githubcopilot.com", "telemetry": "https://copilot-telemetry.githubusercontent.com"},
                "organization_list": [], "cli_enabled": True}
    if p.url.path == "/models":
        return {"object": "list", "data": [MODEL]}
    return None


# ---- which of them ----


def which(p):
    """(API, whose key it wants)"""
    path, host = p.url.path, p.field.get("host", "").partition(":")[0]
    if path in ("/v1/messages", "/v1/messages/count_tokens") and host == "api.anthropic.com":
        return "anthropic", "anthropic"
    if path == "/v1/responses" and host == "api.openai.com":
        return "responses", "openai"
    if path == "/v1/chat/completions" and host == "api.openai.com":
        return "chat", "openai"
    if path == "/compatible-mode/v1/chat/completions" and host == QWEN:
        return "chat", "dashscope"
    if path.startswith("/v1beta/models/") and ":" in path and host == "generativelanguage.googleapis.com":
        return "gemini", "google"
    if path == "/chat/completions" and host == COPILOT:
        return "chat", "github"
    if host == COPILOT or (host == "api.github.com" and path == "/copilot_internal/user"):
        return "copilot", "github"
    return None, None


def key_of(p, service):
    if service == "google":
        return p.field.get("x-goog-api-key") or p.query.get("key")
    if service == "anthropic" and "x-api-key" in p.field:
        return p.field["x-api-key"]
    scheme, _, value = p.field.get("authorization", "").partition(" ")
    return value if scheme.lower() in ("bearer", "token") else None


def respond(p, body, keys, log):
    """True if it is a model's to answer, and it has done so."""
    api, service = which(p)
    if service not in keys:
        return False
    good = key_of(p, service) == keys[service]
    log(at=p.place, model=api, key=good, line=p.line, marks=marks(body))
    if not good:
        answer(p, 401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid key", "code": 401, "status": "UNAUTHENTICATED"}})
        return True
    if api == "responses" and p.field.get("upgrade", "").lower() == "websocket":
        websocket(p, log)
    if api == "copilot":
        found = copilot(p)
        answer(p, 200 if found else 404, found or {"message": "Not Found"})
        return True
    ask = json.loads(body or b"{}")
    if api == "responses":
        responses(p, ask, log)
    else:
        {"anthropic": anthropic, "chat": chat, "gemini": gemini}[api](p, ask)
    return True
