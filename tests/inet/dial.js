// dial.js - whom Node's fetch() and http.get() would dial for each URL of stdin (JSON); nothing is dialled
'use strict';
const http = require('http');
const https = require('https');
const net = require('net');

let asked = null;
net.Socket.prototype.connect = function (...args) {
	const options = Array.isArray(args[0]) ? args[0][0] : args[0];
	asked = asked || [String(options.host), Number(options.port)];
	process.nextTick(() => this.destroy(new Error('written down')));
	return this;
};

function get(url) {
	return new Promise((resolve) => {
		const ask = (/^[\0- ]*https/i.test(url) ? https : http).get(url, { agent: false }, resolve);
		ask.on('error', resolve);
	});
}

async function main(urls) {
	const out = { 'node fetch': [], 'node http': [] };
	for (const url of urls) {
		for (const [name, go] of [['node fetch', () => fetch(url, { redirect: 'manual' })], ['node http', () => get(url)]]) {
			asked = null;
			try {
				await go();
			} catch { /* it refuses, or was stopped */ }
			out[name].push(asked);
		}
	}
	process.stdout.write(JSON.stringify(out), () => process.exit(0));
}

let text = '';
process.stdin.on('data', (data) => { text += data; });
process.stdin.on('end', () => main(JSON.parse(text)));
