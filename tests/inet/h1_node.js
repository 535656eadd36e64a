// h1_node.js - what Node's HTTP/1 (llhttp, strict) makes of messages, one batch from stdin
//
// stdin: inputs as of h1_says.c; stdout: one line of JSON each, in order, texts in hex. Requests go into a
// real http.Server, answers to a real http.request(), each over a stream of memory: no socket, no wait.
'use strict';
const http = require('http');
const { Duplex } = require('stream');

const ASKED = ['GET', 'HEAD', 'POST', 'CONNECT'];
const hex = (text) => Buffer.from(text, 'latin1').toString('hex');

function pairs(raw) {
	const out = [];
	for (let i = 0; i < raw.length; i += 2)
		out.push([hex(raw[i]), hex(raw[i + 1])]);
	return out;
}

// A connection on which @bytes come and then its end; what is written is dropped.
class Memory extends Duplex {
	constructor(bytes) {
		super({ allowHalfOpen: true });
		this.bytes = bytes;
	}
	_read() {
		if (this.bytes.length > 0)
			this.push(this.bytes);
		this.bytes = Buffer.alloc(0);
		this.push(null);
	}
	_write(chunk, encoding, done) {
		done();
	}
	setTimeout() { return this; }
	setNoDelay() { return this; }
	setKeepAlive() { return this; }
	ref() { return this; }
	unref() { return this; }
}

function collect(message, into, more) {
	const told = { fields: pairs(message.rawHeaders), body: '', trailers: [], complete: false, ...more };
	into.push(told);
	message.on('data', (data) => { told.body += data.toString('hex'); });
	message.on('error', () => {});
	message.on('end', () => {
		told.complete = message.complete;
		told.trailers = pairs(message.rawTrailers);
	});
	return told;
}

function request(bytes, done) {
	const told = { messages: [], error: '', upgrade: false };
	const server = http.createServer({ insecureHTTPParser: false, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0,
		maxHeaderSize: 65536, connectionsCheckingInterval: 1 << 30 });
	const on = (message, answer) => {
		collect(message, told.messages, { method: hex(message.method), target: hex(message.url), upgrade: false });
		message.on('end', () => answer.end());
	};
	const raised = (message, socket, head) => {
		told.messages.push({ method: hex(message.method), target: hex(message.url), fields: pairs(message.rawHeaders),
			body: '', trailers: [], complete: true, upgrade: true, rest: head.toString('hex') });
		told.upgrade = true;
	};
	server.on('request', on);
	server.on('checkContinue', on);
	server.on('checkExpectation', on);
	server.on('upgrade', raised);
	server.on('connect', raised);
	server.on('clientError', (error, socket) => {
		told.error = told.error || String(error.code || error.message);
		socket.destroy();
	});
	server.maxHeadersCount = 0;
	settle(new Memory(bytes), (stream) => server.emit('connection', stream), told, done);
}

function response(bytes, asked, done) {
	const told = { messages: [], error: '', upgrade: false };
	const stream = new Memory(bytes);
	const start = () => {
		const ask = http.request({ method: ASKED[asked % ASKED.length], path: '/', host: 'a.test', maxHeaderSize: 65536,
			createConnection: () => stream, insecureHTTPParser: false });
		ask.maxHeadersCount = 0;
		ask.on('response', (message) => {
			collect(message, told.messages, { status: message.statusCode, upgrade: false });
		});
		const raised = (message, socket, head) => {
			told.upgrade = true;
			told.messages.push({ status: message.statusCode, fields: pairs(message.rawHeaders), body: '', trailers: [],
				complete: true, upgrade: true, rest: head.toString('hex') });
		};
		ask.on('connect', raised);
		ask.on('upgrade', raised);
		ask.on('error', (error) => { told.error = told.error || String(error.code || error.message); });
		ask.end();
	};
	settle(stream, start, told, done);
}

// Nothing waits for a clock or a descriptor: when some rounds of the loop bring no change, all was said.
function settle(stream, start, told, done) {
	let last = '', same = 0;
	const look = () => {
		const now = `${told.messages.length} ${told.error} ${told.messages.map((m) => `${m.body.length}${m.complete}`)}`;
		same = now === last ? same + 1 : 0;
		last = now;
		if (same < 12) {
			setImmediate(look);
			return;
		}
		stream.destroy();
		done(told);
	};
	start(stream);
	setImmediate(look);
}

const chunks = [];
process.stdin.on('data', (data) => chunks.push(data));
process.stdin.on('end', () => {
	const all = Buffer.concat(chunks), out = [], todo = [];
	for (let at = 0; at < all.length;) {
		const length = all.readUInt32LE(at + 2);
		todo.push([all[at], all[at + 1], all.subarray(at + 6, at + 6 + length)]);
		at += 6 + length;
	}
	let next = 0, under = 0;
	const more = () => {
		while (under < 64 && next < todo.length) {
			const i = next++, [mode, asked, bytes] = todo[i];
			under++;
			const done = (told) => {
				out[i] = JSON.stringify(told);
				under--;
				setImmediate(more);
			};
			if (mode === 3)
				response(bytes, asked, done);
			else
				request(bytes, done);
		}
		if (under === 0 && next === todo.length) {
			process.stdout.write(out.join('\n') + '\n', () => process.exit(0));
			next++;
		}
	};
	more();
});
