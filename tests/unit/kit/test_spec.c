/* test_spec.c - the whole schema: every field of both versions, and the kit zoo: one fault, one place */
#include "check.h"
#include "base/escape.h"
#include "kit/spec.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define HEAD  "schemaVersion: \"2\"\nkind: sandbox\nname: k\n" /* 3 lines */
#define KIND  "schemaVersion: \"2\"\nkind: sandbox\n"
#define MIXIN "schemaVersion: \"2\"\nkind: mixin\nname: k\n"
#define OLD   "schemaVersion: \"1\"\nkind: mixin\nname: k\n"
#define BOX   "sandbox: {command: [sh]}\n"

struct kit_in {
	struct kit_tree tree;
	struct kit_spec *spec;
};

static void kit_in_auto(struct kit_in *k)
{
	kit_spec_free(k->spec);
	kit_tree_fini(&k->tree);
}

static int decode(struct kit_in *k, const char *text, const struct kit_args *args, struct err *e)
{
	const struct kit_entry spec = {.path = "spec.yaml", .bytes = text, .len = strlen(text)};

	*e = (struct err){0};
	assert_int_equal(kit_tree_add(&k->tree, ".", &spec, e), 0);
	assert_int_equal(kit_tree_seal(&k->tree, ".", e), 0);
	return kit_decode(&k->tree, "spec.yaml", args, &k->spec, e);
}

/* load() - one of tests/kits */
static void load(struct kit_in *k, const char *name, const struct kit_args *args)
{
	char path[512], file[600];
	struct err e = {0};

	(void)snprintf(path, sizeof(path), "%s/tests/kits/%s", SOURCE_ROOT, name);
	(void)snprintf(file, sizeof(file), "%s/spec.yaml", name);
	AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (kit_tree_dir(&k->tree, fd, path, &e) < 0 ||
		kit_decode(&k->tree, file, args, &k->spec, &e) < 0)
		fail_msg("%s", e.msg);
}

struct wrong {
	const char *text, *fault;
};

static const struct wrong wrongs[] = {
	{"", "spec.yaml:1:1: the file is empty"},
	{"# nothing\n", "spec.yaml:1:1: the file is empty"},
	{"a", "spec.yaml:1:1: the kit must be a mapping"},
	{"[a]", "spec.yaml:1:1: the kit must be a mapping"},
	{"a: [", "spec.yaml:2:1: "},
	{"a:\n\tb: c\n", "spec.yaml:2:1: "},
	{"\xef\xbb\xbf" HEAD BOX, "spec.yaml:1:1: a byte order mark is not allowed"},
	{"a: \xff\n", "spec.yaml:"},
	{"a: \"x\\0y\"\n", "spec.yaml:1:4: a NUL character is not allowed"},
	{HEAD BOX "---\n" HEAD, "spec.yaml:5:1: a second document is not allowed"},
	{"%YAML 1.1\n---\n" HEAD BOX, "spec.yaml:1:1: directives are not allowed"},
	{"%TAG ! tag:x,2000:\n---\n" HEAD BOX, "spec.yaml:1:1: directives are not allowed"},
	{HEAD "description: *a\n", "spec.yaml:4:14: no anchor 'a' before this alias"},
	{HEAD "displayName: &a x\ndescription: &a y\n",
		"spec.yaml:5:14: the anchor 'a' is here twice"},
	{HEAD "sandbox: &a {command: *a}\n", "spec.yaml:4:23: an alias for what is around it"},
	{HEAD "sandbox: {command: &a [sh, *a]}\n",
		"spec.yaml:4:28: an alias for what is around it"},
	{HEAD "description: &a x\n*a : y\n*a : z\n" BOX,
		"spec.yaml:6:1: the key 'x' is here twice"},
	{HEAD "licenses: &a [x]\n? *a\n: y\n", "spec.yaml:5:3: a key must be plain text"},
	{HEAD "sandbox: &a {imag: x}\n", "spec.yaml:4:14: unknown field 'imag' in sandbox"},
	{HEAD "description: &aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x\n",
		"spec.yaml:4:14: the name of the anchor is too long"},
	{HEAD "description: !!str x\n", "spec.yaml:4:14: tags are not allowed"},
	{HEAD "description: !x y\n", "spec.yaml:4:14: tags are not allowed"},
	{HEAD "sandbox: !!map {command: [sh]}\n", "spec.yaml:4:10: tags are not allowed"},
	{HEAD "sandbox: {command: !!seq [sh]}\n", "spec.yaml:4:20: tags are not allowed"},
	{HEAD "name: k\n" BOX, "spec.yaml:4:1: the key 'name' is here twice"},
	{HEAD BOX "environment: {variables: {A: x, A: y}}\n",
		"spec.yaml:5:33: the key 'A' is here twice"},
	{HEAD BOX "? [a]\n: b\n", "spec.yaml:5:3: a key must be plain text"},
	{HEAD BOX "nmae: x\n", "spec.yaml:5:1: unknown field 'nmae' in the kit"},
	{HEAD BOX "network: {}\n", "spec.yaml:5:1: unknown field 'network' in the kit"},
	{HEAD BOX "<<: {a: b}\n", "spec.yaml:5:1: merge keys (<<) are not allowed"},
	/* required */
	{"kind: sandbox\nname: k\n" BOX, "spec.yaml:1:1: the kit has no field 'schemaVersion'"},
	{"schemaVersion: \"2\"\nname: k\n" BOX, "spec.yaml:1:1: the kit has no field 'kind'"},
	{"schemaVersion: \"2\"\nkind: sandbox\n" BOX, "spec.yaml:1:1: the kit has no field 'name'"},
	{HEAD, "spec.yaml:1:1: the kit has no field 'sandbox'"},
	/* values */
	{"schemaVersion: \"3\"\n", "spec.yaml:1:16: schemaVersion must be \"1\" or \"2\""},
	{"schemaVersion: x\n", "spec.yaml:1:16: schemaVersion must be \"1\" or \"2\""},
	{"schemaVersion: [2]\n", "spec.yaml:1:16: schemaVersion must be text"},
	{"schemaVersion: \"2\"\nkind: 2\nname: k\n",
		"spec.yaml:2:7: kind must be sandbox or mixin"},
	{"schemaVersion: \"2\"\n"
	 "kind: agent\n",
		"spec.yaml:2:7: kind must be sandbox or mixin"},
	{KIND "name: -rf\n", "spec.yaml:3:7: name must be 1 to 64 of a-z"},
	{KIND "name: a/b\n", "spec.yaml:3:7: name must be 1 to 64 of a-z"},
	{KIND "name: \"\"\n", "spec.yaml:3:7: name must be 1 to 64 of a-z"},
	{KIND "name: A\n", "spec.yaml:3:7: name must be 1 to 64 of a-z"},
	{KIND "name: a-\n", "spec.yaml:3:7: name must be 1 to 64 of a-z"},
	{KIND "name:\n", "name has no value: quote it if text is meant"},
	{KIND "version: ~\n", "spec.yaml:3:10: version has no value"},
	{KIND "description: NULL\n", "spec.yaml:3:14: description has no value"},
	{KIND "displayName: {}\n", "spec.yaml:3:14: displayName must be text"},
	{KIND "description: a ${{ kit.args.x }}\n",
		"spec.yaml:3:16: the kit declares no argument 'x'"},
	/* sandbox */
	{HEAD "sandbox: x\n", "spec.yaml:4:10: sandbox must be a mapping"},
	{HEAD "sandbox: {}\n", "spec.yaml:4:10: the agent has neither entrypoint nor command"},
	{HEAD "sandbox: {image: \"\"}\n", "spec.yaml:4:18: image is no reference of an image"},
	{HEAD "sandbox: {imag: x}\n", "spec.yaml:4:11: unknown field 'imag' in sandbox"},
	{HEAD "sandbox: {build: {context: .}}\n",
		"spec.yaml:4:10: sandbox.build needs sandbox.image"},
	{HEAD "sandbox: {entrypoint: sh}\n",
		"spec.yaml:4:23: sandbox.entrypoint must be a list of text"},
	{HEAD "sandbox: {entrypoint: [[sh]]}\n", "spec.yaml:4:24: sandbox.entrypoint must be text"},
	{HEAD "sandbox: {entrypoint: [\"\"]}\n",
		"spec.yaml:4:23: sandbox.entrypoint begins with an empty"},
	{HEAD "sandbox: {command: sh}\n", "spec.yaml:4:20: sandbox.command must be a mapping"},
	{HEAD "sandbox: {command: {tty: [a]}}\n",
		"spec.yaml:4:21: unknown field 'tty' in sandbox.command"},
	{HEAD "sandbox: {command: {default: [a], interactive: []}}\n",
		"spec.yaml:4:10: sandbox.command.interactive is empty"},
	{HEAD "sandbox: {command: {default: a}}\n",
		"spec.yaml:4:30: sandbox.command.default must be a list of text"},
	{HEAD "sandbox: {resources: {cpu: 0}}\n",
		"spec.yaml:4:28: sandbox.resources.cpu must be a number"},
	{HEAD "sandbox: {resources: {cpu: -1}}\n",
		"spec.yaml:4:28: sandbox.resources.cpu must be a number"},
	{HEAD "sandbox: {resources: {cpu: 99999999999999999999}}\n",
		"spec.yaml:4:28: sandbox.resources.cpu must be a number"},
	{HEAD "sandbox: {resources: {memory: 1e3}}\n",
		"spec.yaml:4:31: sandbox.resources.memory must be"},
	{HEAD "sandbox: {resources: {memory: 0}}\n",
		"spec.yaml:4:31: sandbox.resources.memory must be"},
	{HEAD "sandbox: {resources: {memory: 99999999999g}}\n",
		"spec.yaml:4:31: sandbox.resources.memory must be"},
	/* environment */
	{HEAD "environment: {variables: [A]}\n",
		"spec.yaml:4:26: environment.variables must be a mapping"},
	{HEAD "environment: {variables: {\"A=B\": x}}\n",
		"spec.yaml:4:27: 'A=B' is not a name for a variable"},
	{HEAD "environment: {variables: {\"A\\nB\": x}}\n", "spec.yaml:4:27: 'A\nB' is not a name"},
	{HEAD "environment: {variables: {\"\": x}}\n", "spec.yaml:4:27: '' is not a name"},
	{HEAD "environment: {variables: {1A: x}}\n", "spec.yaml:4:27: '1A' is not a name"},
	{HEAD "environment: {variables: {SBX_X: x}}\n",
		"spec.yaml:4:27: a kit must not set SBX_X: variables that"},
	{HEAD "environment: {variables: {DOCKER_X: x}}\n",
		"spec.yaml:4:27: a kit must not set DOCKER_X: variables"},
	{HEAD "environment: {variables: {DASH_X: x}}\n",
		"spec.yaml:4:27: a kit must not set DASH_X: variables"},
	{HEAD "environment: {variables: {A: [x]}}\n", "spec.yaml:4:30: A must be text"},
	{HEAD "environment: {variables: {A: }}\n", "A has no value"},
	{HEAD "environment: {proxyManaged: [A]}\n", "spec.yaml:4:15: unknown field 'proxyManaged'"},
	{HEAD "setup: {files: {}}\n", "spec.yaml:4:16: setup.files must be a list"},
	{HEAD "setup: {files: [x]}\n", "spec.yaml:4:17: setup.files must be a mapping"},
	{HEAD "setup: {files: [{content: x}]}\n",
		"spec.yaml:4:17: setup.files has no field 'path'"},
	{HEAD "setup: {files: [{path: /x}]}\n",
		"spec.yaml:4:17: setup.files has no field 'content'"},
	{HEAD "setup: {files: [{path: x, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be abs"},
	{HEAD "setup: {files: [{path: /../x, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be"},
	{HEAD "setup: {files: [{path: /a/.., content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be"},
	{HEAD "setup: {files: [{path: /a/./b, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be"},
	{HEAD "setup: {files: [{path: //a, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be"},
	{HEAD "setup: {files: [{path: /a/, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be"},
	{HEAD "setup: {files: [{path: /, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path must be"},
	{HEAD "setup: {files: [{path: /x, mode: \"4755\", content: y}]}\n",
		"spec.yaml:4:34: setup.files.mode must not have set-id"},
	{HEAD "setup: {files: [{path: /x, mode: rw, content: y}]}\n",
		"spec.yaml:4:34: setup.files.mode must be octal"},
	{HEAD "setup: {files: [{path: /x, mode: 99999, content: y}]}\n",
		"spec.yaml:4:34: setup.files.mode must be octal"},
	{HEAD "setup: {files: [{path: /x, onlyIfMissing: \"false\", content: y}]}\n",
		"spec.yaml:4:43: setup.files.onlyIfMissing must be true or false"},
	{HEAD "setup: {files: [{path: /x, content: a}, {path: /x, content: b}]}\n",
		"spec.yaml:4:41: setup.files has the path /x twice"},
	{HEAD "agentInstructions: {filename: a/b}\n",
		"spec.yaml:4:31: agentInstructions.filename must be"},
	{HEAD "agentInstructions: {filename: ..}\n",
		"spec.yaml:4:31: agentInstructions.filename must be"},
	/* placeholders and arguments */
	{KIND "name: k\nversion: ${{ kit.args. }}\n" BOX,
		"spec.yaml:4:10: a placeholder must be ${{ kit.args.NAME }}"},
	{KIND "name: k\nversion: ${{ kit.args.a.b }}\n" BOX,
		"spec.yaml:4:10: a placeholder must be"},
	{KIND "name: k\nversion: é${{ kit.arg.a }}\n" BOX, "spec.yaml:4:11: a placeholder must be"},
	{HEAD BOX "args: {a: {default: x}}\nenvironment: {variables: {\"${{ kit.args.a }}\": y}}\n",
		"spec.yaml:6:27: a field's name cannot be a placeholder"},
	{HEAD BOX "# ${{ kit.args.gone }}\n", "spec.yaml:5:3: the kit declares no argument 'gone'"},
	{HEAD BOX "args: {a: {}}\n",
		"spec.yaml:5:11: argument 'a' needs one of default and required: true"},
	{HEAD BOX "args: {a: {default: x, required: true}}\n",
		"spec.yaml:5:11: argument 'a' needs one"},
	{HEAD BOX "args: {a: {required: false}}\n", "spec.yaml:5:11: argument 'a' needs one"},
	{HEAD BOX "args: {a: {required: true}}\n", "spec.yaml:5:8: argument 'a' is required"},
	{HEAD BOX "args: {a.b: {default: x}}\n", "spec.yaml:5:8: 'a.b' is no name for an argument"},
	{HEAD BOX "args: {1a: {default: x}}\n", "spec.yaml:5:8: '1a' is no name"},
	{HEAD BOX "args: {a: {default: x, enum: [y]}}\n",
		"spec.yaml:5:11: the default 'x' of argument 'a' is none of its enum"},
	{HEAD BOX "args: {a: {default: x, enum: [x, x]}}\n",
		"spec.yaml:5:11: argument 'a' has 'x' in"},
	{HEAD BOX "args: {a: {default: x, enum: [x], pattern: x}}\n",
		"spec.yaml:5:11: argument 'a' has both enum and pattern"},
	{HEAD BOX "args: {a: {default: x, pattern: '[0-9]+'}}\n",
		"spec.yaml:5:11: the default 'x' of argument 'a' does not match '[0-9]+'"},
	{HEAD BOX "args: {a: {default: '1x', pattern: '[0-9]+'}}\n", "does not match"},
	{HEAD BOX "args: {a: {default: x, pattern: '('}}\n",
		"spec.yaml:5:11: the pattern of argument 'a': "},
	{HEAD BOX "args: {a: {default: x, pattern: '(x)\\1'}}\n",
		"back references are not allowed"},
	{HEAD BOX "args: {a: {default: x, pattern: '(?=x)x'}}\n", "look-around is not allowed"},
	{HEAD BOX "args: {a: {default: x, typ: y}}\n",
		"spec.yaml:5:24: unknown field 'typ' in args"},
	{HEAD BOX "args: [a]\n", "spec.yaml:5:7: args must be a mapping"},
	/* who may have what */
	{MIXIN BOX, "spec.yaml:4:1: a mixin has no field 'sandbox'"},
	{MIXIN "extends: shell\n", "spec.yaml:4:1: a mixin has no field 'extends'"},
	{MIXIN "mixins: [a]\n", "spec.yaml:4:1: a mixin has no field 'mixins'"},
	{HEAD BOX "requires: {agent: claude}\n", "spec.yaml:5:1: requires is for mixins"},
	{MIXIN "requires: {}\n", "spec.yaml:4:11: requires has no field 'agent'"},
	{MIXIN "requires: {agent: a b}\n", "spec.yaml:4:19: requires.agent must be 1 to 64"},
	{HEAD BOX "extends: ../up\n", "spec.yaml:5:10: extends must be 1 to 64 of"},
	{HEAD BOX "licenses: [MIT, MIT]\n", "spec.yaml:5:17: 'MIT' is in this list twice"},
	{HEAD BOX "licenses: ['']\n", "spec.yaml:5:12: an empty entry"},
	{HEAD BOX "locked: [a..b]\n", "spec.yaml:5:10: 'a..b' is no path of a field"},
	{HEAD BOX "sourceURL: javascript:x\n", "spec.yaml:5:12: sourceURL must begin with"},
	{HEAD BOX "security: {privileged: yes}\n",
		"spec.yaml:5:24: security.privileged must be true or false"},
	{HEAD "sandbox: {image: '--help', command: [x]}\n",
		"spec.yaml:4:18: image is no reference"},
	{HEAD "sandbox: {image: \"a b\", command: [x]}\n", "spec.yaml:4:18: image is no reference"},
	{HEAD BOX "agentInstructions: {content: \"<!-- sbx:kits-section end -->\"}\n",
		"spec.yaml:5:30: the text for the agent has a mark"},
	/* variables that say whom to load, trust or go through */
	{HEAD "environment: {variables: {LD_PRELOAD: x}}\n",
		"spec.yaml:4:27: a kit must not set LD_PRELOAD: "},
	{HEAD "environment: {variables: {PATH: x}}\n", "spec.yaml:4:27: a kit must not set PATH"},
	{HEAD "environment: {variables: {BASH_ENV: x}}\n", "spec.yaml:4:27: a kit must not set"},
	{HEAD "environment: {variables: {HTTPS_PROXY: x}}\n", "spec.yaml:4:27: a kit must not set"},
	{HEAD "environment: {variables: {https_proxy: x}}\n", "spec.yaml:4:27: a kit must not set"},
	{HEAD "environment: {variables: {No_Proxy: x}}\n", "spec.yaml:4:27: a kit must not set"},
	{HEAD "environment: {variables: {SSL_CERT_FILE: x}}\n",
		"spec.yaml:4:27: a kit must not set"},
	{HEAD "environment: {variables: {NODE_EXTRA_CA_CERTS: x}}\n", "a kit must not set"},
	{MIXIN "credentials: [{service: a, apiKey: {name: LD_PRELOAD}}]\n",
		"spec.yaml:4:43: a kit must not set LD_PRELOAD"},
	{MIXIN "credentials: [{service: a, phase: boot, apiKey: {name: A}}]\n",
		"spec.yaml:4:35: phase must be install or runtime"},
	{MIXIN "credentials: [{service: a, phase: [install], apiKey: {name: A}}]\n",
		"spec.yaml:4:35: "},
	{MIXIN "credentials: [{service: a, phase: install, apiKey: {inject: [{domain: "
	       "a.example, scheme: bearer}]}}]\n",
		"spec.yaml:4:15: phase is said by the kit that owns the credential"},
	{HEAD BOX "credentials: [{service: a, phase: install, oauth: {tokenEndpoint: {host: "
		  "a.example, path: /t}, passthrough: true}}]\n",
		"spec.yaml:5:15: nobody logs in while the sandbox installs"},
	/* network */
	{MIXIN "permissions: {network: {allow: ['*']}}\n", "spec.yaml:4:33: "},
	{MIXIN "permissions: {network: {allow: ['*.com']}}\n",
		"spec.yaml:4:33: '*.com' is a whole top-level domain: it can only be denied"},
	{MIXIN "permissions: {network: {allow: ['https://a.example']}}\n", "spec.yaml:4:33: "},
	{MIXIN "permissions: {network: {deny: ['a.example:1-2']}}\n", "spec.yaml:4:32: "},
	{MIXIN "permissions: {network: {allow: a}}\n",
		"spec.yaml:4:32: network allow must be a list"},
	{MIXIN "permissions: {network: {allows: []}}\n",
		"spec.yaml:4:25: unknown field 'allows' in permissions.network"},
	{MIXIN "permissions: {network: {install: [a.example]}}\n",
		"spec.yaml:4:34: permissions.network.install must be a mapping"},
	{MIXIN "permissions: {network: {install: {}}}\n",
		"spec.yaml:4:34: permissions.network.install has no field 'allow'"},
	{MIXIN "permissions: {network: {install: {deny: [a.example]}}}\n",
		"spec.yaml:4:35: unknown field 'deny' in permissions.network.install"},
	{MIXIN "permissions: {network: {install: {allow: ['*.com']}}}\n",
		"spec.yaml:4:43: '*.com' is a whole top-level domain: it can only be denied"},
	{MIXIN "permissions: {files: []}\n",
		"spec.yaml:4:15: unknown field 'files' in permissions"},
	/* ports, volumes */
	{MIXIN "ports: [{container: 0}]\n", "spec.yaml:4:21: a port must be a whole number from 1"},
	{MIXIN "ports: [{container: 65536}]\n", "spec.yaml:4:21: a port must be a whole number"},
	{MIXIN "ports: [{container: 80, host: 80}]\n",
		"spec.yaml:4:25: unknown field 'host' in ports"},
	{MIXIN "ports: [{container: 80, protocol: sctp}]\n",
		"spec.yaml:4:35: protocol must be tcp"},
	{MIXIN "ports: [{container: 80}, {container: 80, protocol: tcp}]\n",
		"spec.yaml:4:26: the port 80 is there twice"},
	{MIXIN "ports: [80]\n", "spec.yaml:4:9: ports must be a mapping"},
	{MIXIN "volumes: [{path: x}]\n", "spec.yaml:4:18: volumes.path must be absolute"},
	{MIXIN "volumes: [{path: /a/../b}]\n", "spec.yaml:4:18: volumes.path must be absolute"},
	{MIXIN "volumes: [{path: /proc/x}]\n", "spec.yaml:4:18: volumes.path is in /proc"},
	{MIXIN "volumes: [{path: /x, type: nfs}]\n", "spec.yaml:4:28: type must be"},
	{MIXIN "volumes: [{path: /x, size: 1m}]\n", "spec.yaml:4:11: a volume has at least 512m"},
	{MIXIN "volumes: [{path: /x, mode: \"4755\"}]\n",
		"spec.yaml:4:28: mode must not have set-id"},
	{MIXIN "volumes: [{path: /x}, {path: /x}]\n",
		"spec.yaml:4:23: the volume /x is there twice"},
	/* setup */
	{MIXIN "setup: {install: [{command: [a]}]}\n",
		"spec.yaml:4:29: setup.install.command must be text"},
	{MIXIN "setup: {install: [{command: ' '}]}\n", "spec.yaml:4:19: the command is empty"},
	{MIXIN "setup: {startup: [{command: a}]}\n",
		"spec.yaml:4:29: setup.startup.command must be a list of text"},
	{MIXIN "setup: {startup: [{command: []}]}\n", "spec.yaml:4:19: the command is empty"},
	{MIXIN "setup: {install: [{command: a, user: '-1'}]}\n", "spec.yaml:4:38: user must be"},
	{MIXIN "setup: {install: [{command: a, user: 'a b'}]}\n", "spec.yaml:4:38: user must be"},
	{MIXIN "setup: {install: [{command: a, background: true}]}\n",
		"spec.yaml:4:32: unknown field 'background' in setup.install"},
	{MIXIN "setup: {files: [{path: /dev/x, content: y}]}\n",
		"spec.yaml:4:24: setup.files.path is in"},
	/* credentials */
	{MIXIN "credentials: {sources: {}}\n", "spec.yaml:4:14: credentials must be a list"},
	{MIXIN "credentials: [{service: a}]\n",
		"spec.yaml:4:15: a credential needs apiKey or oauth"},
	{MIXIN "credentials: [{service: A, apiKey: {name: X}}]\n",
		"spec.yaml:4:25: 'A' is no name of"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: [{domain: x.example}]}}]\n",
		"spec.yaml:4:46: inject needs a scheme or a header"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: [{domain: '**', scheme: bearer}]}}]\n",
		"spec.yaml:4:55: '**' is no host that a credential can be bound to"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: [{domain: '*.com', scheme: "
	       "bearer}]}}]\n",
		"spec.yaml:4:55: '*.com' is no host"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: [{domain: x.example, scheme: "
	       "digest}]}}]\n",
		"spec.yaml:4:74: scheme must be bearer or basic"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: [{domain: x.example, scheme: "
	       "basic}]}}]\n",
		"spec.yaml:4:46: scheme basic needs a username"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: "
	       "[{domain: x.example, scheme: bearer, format: \"%s\"}]}}]\n",
		"spec.yaml:4:46: scheme and format exclude each other"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: "
	       "[{domain: x.example, scheme: basic, username: 'a:b'}]}}]\n",
		"spec.yaml:4:91: a user name of Basic has no ':'"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: [{domain: x.example, header: "
	       "Host}]}}]\n",
		"spec.yaml:4:74: a credential cannot go into this header"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: "
	       "[{domain: x.example, header: X, format: \"%s%s\"}]}}]\n",
		"spec.yaml:4:85: format must have exactly one %s"},
	{MIXIN "credentials: [{service: a, apiKey: {inject: "
	       "[{domain: x.example, header: X, format: \"a\\r\\nb: %s\"}]}}]\n",
		"has a character that must not stand there"},
	{MIXIN "credentials: [{service: a, apiKey: {name: A}}, {service: a, apiKey: {name: B}}]\n",
		"spec.yaml:4:48: the service 'a' is in this list twice"},
	{MIXIN "credentials: [{service: a, oauth: {}}]\n", "spec.yaml:4:35: a mixin has no oauth"},
	{MIXIN "credentials: [{service: a, apiKey: {name: A}}]\nenvironment: {variables: {A: x}}\n",
		"spec.yaml:5:27: A holds the stand-in of the credential 'a' (line 4)"},
	{HEAD BOX "credentials: [{service: a, oauth: {tokenEndpoint: {host: h.example, path: "
		  "/t}}}]\n",
		"spec.yaml:5:35: oauth needs sentinels"},
	{HEAD BOX "credentials: [{service: a, oauth: {tokenEndpoint: {host: a.example, path: /t}, "
		  "sentinels: {accessToken: short}}}]\n",
		"spec.yaml:5:105: accessToken has fewer than 8 characters"},
	{HEAD BOX "credentials: [{service: a, oauth: {tokenEndpoint: {host: '*.h.example', path: "
		  "/t}}}]\n",
		"spec.yaml:5:58: a token endpoint is one host"},
	{HEAD BOX "credentials: [{service: a, oauth: {tokenEndpoint: {host: h.example, path: /t}, "
		  "passthrough: true, credentialFile: {path: '~/../x', structure: {}}}}]\n",
		"spec.yaml:5:122: credentialFile.path must be absolute"},
	/* schema 1 */
	{OLD "agent: {}\n", "spec.yaml:4:1: a mixin has no field 'agent'"},
	{"schemaVersion: \"1\"\nkind: agent\nname: k\n",
		"spec.yaml:1:1: the kit has no field 'agent'"},
	{"schemaVersion: \"1\"\nkind: agent\nname: k\nagent: {}\n",
		"spec.yaml:4:8: the agent has neither entrypoint nor command"},
	{"schemaVersion: \"1\"\nkind: agent\nname: k\nagent: {entrypoint: {run: [a]}}\nsandbox: "
	 "{}\n",
		"spec.yaml:5:1: agent and sandbox are the same field"},
	{OLD "permissions: {}\n", "spec.yaml:4:1: unknown field 'permissions' in the kit"},
	{OLD "args: {}\n", "spec.yaml:4:1: unknown field 'args' in the kit"},
	{OLD "credentials: {sources: {a: {}}}\n", "spec.yaml:4:28: a source needs env or file"},
	{OLD "credentials: {sources: {a: {env: [\"A=B\"]}}}\n",
		"spec.yaml:4:35: 'A=B' is not a name"},
	{OLD "credentials: {sources: {a: {file: {path: x}}}}\n",
		"spec.yaml:4:42: file.path must begin with"},
	{OLD "credentials: {sources: {a: {file: {path: '~/../x'}}}}\n",
		"spec.yaml:4:42: file.path must not have '..'"},
	{OLD "credentials: {sources: {a: {file: {path: '~/x', parser: 'json:a..b'}}}}\n",
		"spec.yaml:4:57: file.parser must be"},
	{OLD "credentials: {sources: {a: {env: [A], priority: both}}}\n",
		"spec.yaml:4:49: priority must be env-first or file-first"},
	{OLD "network: {serviceAuth: {a: {valueFormat: \"%s\"}}}\n",
		"spec.yaml:4:28: serviceAuth needs headerName"},
	{OLD "network: {serviceDomains: {'**': a}}\n", "spec.yaml:4:28: '**' is no host"},
	{OLD "network: {publishedPorts: []}\npublishedPorts: []\n",
		"spec.yaml:5:17: the ports are here twice"},
	{OLD "memory: a\nagentContext: b\n",
		"spec.yaml:5:15: the text for the agent is here twice"},
	{OLD "environment: {proxyManaged: [PATH]}\n", "spec.yaml:4:30: a kit must not set PATH"},
	{OLD "commands: {initFiles: [{path: ../x, content: y}]}\n",
		"spec.yaml:4:31: commands.initFiles.path must be absolute"},
};

static void test_zoo(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		AUTO(kit_in) k = {0};
		struct err e;
		int r = decode(&k, wrongs[i].text, NULL, &e);

		if (r >= 0 || !strstr(e.msg, wrongs[i].fault))
			fail_msg("case %zu: %s\n got: %s\nwant: %s", i, ESC(wrongs[i].text),
				r < 0 ? ESC(e.msg) : "no fault", ESC(wrongs[i].fault));
		assert_null(k.spec);
		assert_int_equal(e.code, ERR_INVALID);
		/* every one of them names its place */
		assert_int_equal(strncmp(e.msg, "spec.yaml:", 10), 0);
		assert_true(e.msg[10] >= '1' && e.msg[10] <= '9');
	}
}

static void words(const struct kit_words *w, const char *want)
{
	char got[512] = "";
	size_t at = 0;

	for (size_t i = 0; i < w->n; i++)
		at += (size_t)snprintf(
			got + at, sizeof(got) - at, "%s%s", i ? " " : "", w->v[i].text);
	assert_string_equal(got, want);
}

static void test_old_agent(void **state)
{
	AUTO(kit_in) k = {0};
	const struct kit_parts *p;
	const struct kit_spec *s;

	(void)state;
	load(&k, "v1-agent", NULL);
	s = k.spec;
	p = &s->parts;
	assert_int_equal(s->schema, 1);
	assert_int_equal(s->kind, KIT_SANDBOX);
	assert_string_equal(s->name.text, "old-agent");
	assert_string_equal(s->display_name.text, "Old agent");
	assert_string_equal(s->image.text, "registry.example/agents/old:1.2");
	assert_string_equal(s->instructions_file.text, "AGENTS.md");
	words(&s->entrypoint, "old-agent --no-prompt");
	words(&s->command, "--task");
	words(&s->interactive, "--tui");
	assert_int_equal(s->cpu_milli, 2000);
	assert_int_equal(s->memory_bytes, 2ULL << 30);
	words(&p->allow, "api.example *.cdn.example registry.example:443");
	words(&p->deny, "telemetry.example");
	assert_int_equal(p->n_ports, 1);
	assert_int_equal(p->ports[0].container, 8080);
	assert_string_equal(p->ports[0].name, "web");
	assert_int_equal(p->n_vars, 1);
	/* five places, three credentials */
	assert_int_equal(p->n_creds, 3);
	assert_string_equal(p->creds[0].service, "example");
	words(&p->creds[0].env, "EXAMPLE_API_KEY EXAMPLE_KEY");
	words(&p->creds[0].variables, "EXAMPLE_API_KEY");
	assert_string_equal(p->creds[0].file_path, "~/.example/settings.json");
	assert_string_equal(p->creds[0].file_parser, "json:auth.key");
	assert_true(p->creds[0].file_first && p->creds[0].owner && p->creds[0].managed);
	assert_int_equal(p->creds[0].n_injects, 1);
	assert_string_equal(p->creds[0].injects[0].domain, "api.example");
	assert_string_equal(p->creds[0].injects[0].header, "x-api-key");
	assert_string_equal(p->creds[0].injects[0].format, "key %s");
	/* without serviceAuth: as the service's own file says */
	assert_string_equal(p->creds[1].service, "forge");
	assert_null(p->creds[1].injects[0].header);
	words(&p->creds[1].variables, "FORGE_TOKEN");
	assert_string_equal(p->creds[2].service, "login");
	assert_string_equal(p->creds[2].oauth.host, "login.example");
	assert_string_equal(p->creds[2].oauth.refresh, "rt-stand-in");
	assert_string_equal(p->creds[2].oauth.template_text, "{\"a\":\"{{.AccessToken}}\"}");
	assert_false(p->creds[2].oauth.passthrough);
	assert_string_equal(p->install[0].shell, "echo installed > /opt/mark");
	assert_string_equal(p->install[0].user, "0");
	words(&p->startup[0].argv, "sh -c echo started");
	assert_true(p->startup[0].background);
	assert_string_equal(p->files[0].path, "/home/agent/.old.json");
	assert_int_equal(p->files[0].mode, 0600);
	assert_true(p->files[0].if_missing);
	assert_string_equal(p->texts[0].text, "Notes for the agent.\n");
	assert_int_equal(p->n_volumes, 2);
	assert_true(p->volumes[0].tmpfs && !p->volumes[1].tmpfs);
	assert_int_equal(p->volumes[0].mode, 01777);
	assert_int_equal(p->volumes[1].bytes, 1ULL << 30);
	assert_int_equal(p->n_home, 2);
	assert_string_equal(p->home[1].path, ".tool/config.json");
	assert_int_equal(s->n_warnings, 2); /* persistence, settings */
}

static void test_old_mixin(void **state)
{
	AUTO(kit_in) k = {0};
	const struct kit_parts *p;

	(void)state;
	load(&k, "v1-mixin", NULL);
	p = &k.spec->parts;
	assert_int_equal(k.spec->kind, KIT_MIXIN);
	assert_int_equal(p->n_creds, 1);
	assert_string_equal(p->creds[0].injects[0].format, "Bearer %s");
	assert_string_equal(p->ports[0].protocol, "");
	assert_string_equal(p->startup[0].user, "1000");
	assert_string_equal(p->texts[0].text, "Run `lint` before you commit.");
	assert_string_equal(p->home[0].path, ".lintrc");
	assert_int_equal(k.spec->n_warnings, 0);
}

static const struct kit_pair team[] = {{"team", "red: [team]\n# \"x\""}};
static const struct kit_args team_args = {team, 1};

static void test_new_agent(void **state)
{
	AUTO(kit_in) k = {0};
	const struct kit_parts *p;
	const struct kit_oauth *o;
	const struct kit_spec *s;

	(void)state;
	load(&k, "v2-agent", &team_args);
	s = k.spec;
	p = &s->parts;
	assert_string_equal(s->version.text, "1.4.2");
	assert_string_equal(s->source_url.text, "https://git.example/kits/new-agent");
	words(&s->licenses, "MIT Apache-2.0");
	words(&s->locked, "sandbox.image permissions.network");
	assert_true(s->privileged);
	assert_string_equal(s->extends.text, "shell");
	words(&s->mixins, "shell-tools");
	assert_int_equal(s->n_args, 3);
	assert_string_equal(s->image.text, "registry.example/agents/new:1.4.2");
	words(&s->entrypoint, "new-agent --channel=stable");
	words(&s->command, "--task");
	assert_true(s->interactive.given && s->interactive.n == 0);
	assert_int_equal(s->cpu_milli, 1500);
	assert_int_equal(s->memory_bytes, 4ULL << 30);
	assert_string_equal(s->gpu.text, "1");
	/* a value is text, whatever is in it */
	assert_string_equal(p->texts[0].text, "You belong to red: [team]\n# \"x\".\n");
	assert_string_equal(p->vars[1].value, "red: [team]\n# \"x\"");
	assert_false(p->vars[0].steers);
	assert_true(p->vars[2].steers);
	words(&p->allow,
		"*.example.com api.example.com:443 **.deep.example 10.1.0.0/16 any.example");
	words(&p->deny, "telemetry.example.com");
	assert_int_equal(p->n_ports, 3);
	assert_string_equal(p->ports[1].protocol, "udp");
	assert_int_equal(p->n_creds, 1);
	assert_true(p->creds[0].required && p->creds[0].owner && p->creds[0].managed);
	words(&p->creds[0].variables, "EXAMPLE_API_KEY");
	assert_int_equal(p->creds[0].n_injects, 5);
	assert_string_equal(p->creds[0].injects[0].header, "x-api-key");
	assert_string_equal(p->creds[0].injects[1].header, "authorization");
	assert_string_equal(p->creds[0].injects[1].format, "Bearer %s");
	assert_string_equal(p->creds[0].injects[2].header, "x-token");
	assert_string_equal(p->creds[0].injects[3].username, "x-access-token");
	assert_null(p->creds[0].injects[3].format);
	assert_string_equal(p->creds[0].injects[4].format, "%s");
	o = &p->creds[0].oauth;
	assert_string_equal(o->path, "/oauth/token");
	words(&o->hosts, "api.example.com");
	assert_string_equal(o->file_path, "~/.new/credentials.json");
	assert_string_equal(o->structure,
		"{\"login\":{\"token\":\"{{.AccessToken}}\","
		"\"until\":\"{{.ExpiresAt}}\",\"scopes\":[\"read\",\"write\"],"
		"\"n\":1,\"ok\":true}}");
	assert_int_equal(o->n_fields, 2);
	assert_string_equal(p->install[0].shell, "npm install -g new-agent@1.4.2");
	assert_string_equal(p->install[1].user, "agent");
	assert_non_null(strstr(p->files[0].content, "${WORKDIR}"));
	assert_non_null(strstr(p->files[0].content, "${{ github.ref }}")); /* nobody's of ours */
	assert_int_equal(p->volumes[0].bytes, 10ULL << 30);
	assert_true(p->volumes[1].tmpfs);
	/* files take arguments, too */
	assert_string_equal(p->home[0].path, ".newrc");
	assert_string_equal(p->home[0].bytes, "team=red: [team]\n# \"x\"\nref=${{ github.ref }}\n");
	assert_int_equal(p->home[0].len, strlen(p->home[0].bytes));
	/* and where something is stays the place in the file */
	assert_int_equal(p->vars[1].at.line, 68);
	assert_int_equal(p->vars[2].at.column, 62);
}

static void test_new_mixin(void **state)
{
	static const struct kit_pair lax[] = {{"level", "lax"}}, odd[] = {{"level", "odd"}},
				     gone[] = {{"gone", "x"}};
	AUTO(kit_in) k = {0};
	struct kit_spec *none = NULL;
	struct err e = {0};

	(void)state;
	load(&k, "v2-mixin", &(struct kit_args){lax, 1});
	assert_string_equal(k.spec->requires_agent.text, "new-agent");
	assert_string_equal(k.spec->parts.files[0].content, "level=lax\n");
	assert_string_equal(k.spec->parts.home[0].bytes, "level=lax\n");
	assert_string_equal(k.spec->parts.workspace[0].path, "lint.mk");
	assert_true(k.spec->parts.creds[0].owner);
	assert_int_equal(k.spec->parts.creds[0].phase, KIT_PHASE_ALWAYS);
	assert_true(k.spec->parts.creds[1].owner);
	assert_int_equal(k.spec->parts.creds[1].phase, KIT_PHASE_INSTALL);
	assert_int_equal(k.spec->parts.install_allow.n, 1);
	assert_string_equal(k.spec->parts.install_allow.v[0].text, "get.example.com");
	assert_false(k.spec->parts.creds[2].owner); /* routing for somebody else's */
	assert_int_equal(
		kit_decode(&k.tree, "f/spec.yaml", &(struct kit_args){odd, 1}, &none, &e), -EINVAL);
	assert_string_equal(
		e.msg, "f/spec.yaml:7:3: the value 'odd' of argument 'level' is none of its enum");
	assert_int_equal(kit_decode(&k.tree, "f/spec.yaml", &(struct kit_args){gone, 1}, &none, &e),
		-EINVAL);
	assert_string_equal(e.msg, "f/spec.yaml:1:1: the kit has no argument 'gone'");
	assert_null(none);
}

static int add(struct kit_in *k, const char *path, enum kit_entry_type type, const char *bytes,
	struct err *e)
{
	const struct kit_entry f = {
		.path = path, .type = type, .bytes = bytes, .len = strlen(bytes), .mode = 0644};

	*e = (struct err){0};
	return kit_tree_add(&k->tree, "k", &f, e);
}

static void test_tree_zoo(void **state)
{
	static const struct {
		const char *path;
		enum kit_entry_type type;
		const char *bytes, *fault;
	} bad[] = {
		{"/etc/passwd", KIT_FILE, "", "k//etc/passwd:1:1: an absolute path is not allowed"},
		{"files/../../x", KIT_FILE, "", "a path with '.' or '..' is not allowed"},
		{"files/./x", KIT_FILE, "", "a path with '.' or '..' is not allowed"},
		{"files//x", KIT_FILE, "", "the path has an empty part"},
		{"files/home/", KIT_FILE, "", "the path has an empty part"},
		{"", KIT_FILE, "", "an empty path is not allowed"},
		{"files\\..\\x", KIT_FILE, "", "the path has a character"},
		{"files/a\nb", KIT_FILE, "", "the path has a character"},
		{"files/a\033[2J", KIT_FILE, "", "the path has a character"},
		{"spec.yaml", KIT_LINK, "x", "a link is allowed beneath files/home only"},
		{"files/home", KIT_LINK, "x", "a link is allowed beneath files/home only"},
		{"files/workspace/x", KIT_LINK, "y", "a link is allowed beneath files/home only"},
		{"files/home/x", KIT_LINK, "/etc/passwd", "an absolute link is not allowed"},
		{"files/home/x", KIT_LINK, "../../y", "a link with '..' is not allowed"},
		{"files/home/x", KIT_LINK, "a/..", "a link with '..' is not allowed"},
		{"files/home/x", KIT_LINK, "", "a malformed link"},
	};
	char deep[3 * 64] = "files/home";
	AUTO(kit_in) k = {0};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(add(&k, bad[i].path, bad[i].type, bad[i].bytes, &e), -EINVAL);
		if (!strstr(e.msg, bad[i].fault))
			fail_msg("got %s, want %s", e.msg, bad[i].fault);
	}
	for (int i = 0; i < 31; i++)
		strcat(deep, "/d");
	assert_int_equal(add(&k, deep, KIT_FILE, "", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "nested too deep"));
	assert_int_equal(k.tree.n, 0);
	/* the same name twice; a file beneath a file */
	assert_int_equal(add(&k, "files/home/a", KIT_FILE, "", &e), 0);
	assert_int_equal(add(&k, "files/home/a", KIT_FILE, "", &e), 0);
	assert_int_equal(kit_tree_seal(&k.tree, "k", &e), -EINVAL);
	assert_string_equal(e.msg, "k/files/home/a:1:1: the name is there twice");
	kit_tree_fini(&k.tree);
	assert_int_equal(add(&k, "files/home/a", KIT_LINK, "b", &e), 0);
	assert_int_equal(add(&k, "files/home/a/c", KIT_FILE, "", &e), 0);
	assert_int_equal(kit_tree_seal(&k.tree, "k", &e), -EINVAL);
	assert_string_equal(
		e.msg, "k/files/home/a/c:1:1: a file lies beneath what is no directory");
}

static void test_files_zoo(void **state)
{
	static const struct {
		const char *path, *bytes, *fault;
	} bad[] = {
		{"files/workspace/.git/hooks/pre-commit", "",
			"k/files/workspace/.git:1:1: a kit does not write into "
			".git"},
		{"files/workspace/sub/.GIT/config", "", "a kit does not write into .git"},
		{"files/home/x", "1\n2 ${{ kit.args.gone }}",
			"k/files/home/x:2:3: the kit declares no argument 'gone'"},
		{"files/workspace/x", "${{ kit.args.a",
			"k/files/workspace/x:1:1: a placeholder must be"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(kit_in) k = {0};
		struct err e;

		assert_int_equal(add(&k, "spec.yaml", KIT_FILE, MIXIN, &e), 0);
		assert_int_equal(add(&k, bad[i].path, KIT_FILE, bad[i].bytes, &e), 0);
		assert_int_equal(kit_tree_seal(&k.tree, "k", &e), 0);
		if (kit_decode(&k.tree, "k/spec.yaml", NULL, &k.spec, &e) != -EINVAL ||
			!strstr(e.msg, bad[i].fault))
			fail_msg("got %s, want %s", e.msg, bad[i].fault);
	}
}

/* a section that somebody left empty is empty */
static void test_nothing(void **state)
{
	static const char *const texts[] = {
		MIXIN "setup:\n  install:\n  startup: ~\n  files: []\nports:\nvolumes: null\n"
		      "credentials:\nenvironment:\n  variables:\nargs:\npermissions:\n  network:\n"
		      "    allow:\n",
		OLD "network:\n  allowedDomains:\n  serviceDomains:\n  serviceAuth:\ncredentials:\n"
		    "  sources:\nenvironment:\n  proxyManaged:\ncommands:\ntmpfs:\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO(kit_in) k = {0};
		struct err e;

		if (decode(&k, texts[i], NULL, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(k.spec->parts.n_install + k.spec->parts.n_ports +
					 k.spec->parts.allow.n + k.spec->parts.n_creds,
			0);
	}
}

static void test_warnings(void **state)
{
	AUTO(kit_in) k = {0};
	struct err e;

	(void)state;
	assert_int_equal(add(&k, "files/etc/x", KIT_FILE, "", &e), 0);
	assert_int_equal(
		decode(&k,
			MIXIN "permissions: {network: {allow: [a.example:1-9, b.example]}}\n"
			      "agentInstructions: {filename: X.md}\n",
			NULL, &e),
		0);
	words(&k.spec->parts.allow, "b.example");
	assert_null(k.spec->instructions_file.text);
	assert_int_equal(k.spec->n_warnings, 3);
	assert_non_null(strstr(k.spec->warnings[0].text, "a range of ports allows nothing"));
	assert_int_equal(k.spec->warnings[0].at.line, 4);
	assert_int_equal(k.spec->warnings[0].at.column, 33);
	assert_non_null(strstr(k.spec->warnings[1].text, "files/etc is left out"));
	assert_non_null(
		strstr(k.spec->warnings[2].text, "the file of instructions is the agent's"));
}

/* what an alias stands for is there as if it had been written twice, and keeps its place */
static void test_aliases(void **state)
{
	AUTO(kit_in) k = {0}, bad = {0};
	struct err e;

	(void)state;
	assert_int_equal(
		decode(&k,
			HEAD BOX
			"description: &d text\ndisplayName: *d\n"
			"permissions: {network: {allow: &hosts [a.example.com, b.example.com], "
			"deny: [c.example.com]}}\n"
			"setup:\n  startup:\n    - &s {command: [echo, *d], user: \"1000\"}\n    - "
			"*s\n"
			"licenses: &none []\n",
			NULL, &e),
		0);
	assert_string_equal(k.spec->display_name.text, "text");
	assert_int_equal(k.spec->parts.n_startup, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(k.spec->parts.startup[i].argv.n, 2);
		assert_string_equal(k.spec->parts.startup[i].argv.v[1].text, "text");
		assert_int_equal(k.spec->parts.startup[i].at.line, 10);
	}
	/* a fault in what is named is told where it was written */
	assert_int_equal(
		decode(&bad, HEAD BOX "setup:\n  startup:\n    - &s {words: [x]}\n    - *s\n", NULL,
			&e),
		-EINVAL);
	assert_string_equal(e.msg, "spec.yaml:7:11: unknown field 'words' in setup.startup");
}

/* bomb() - @levels of anchors, each ten times the one before, and one that is @last */
static void bomb(char *text, size_t cap, int levels)
{
	size_t n = (size_t)snprintf(text, cap, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");

	for (int i = 1; i <= levels; i++) {
		n += (size_t)snprintf(text + n, cap - n, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			n += (size_t)snprintf(text + n, cap - n, "%s*a%d", j ? ", " : "", i - 1);
		n += (size_t)snprintf(text + n, cap - n, "]\n");
	}
}

static void refused_spec(const char *text, int num, const char *msg)
{
	AUTO(kit_in) k = {0};
	struct err e;

	assert_int_equal(decode(&k, text, NULL, &e), num);
	if (!strstr(e.msg, msg))
		fail_msg("%s", e.msg);
}

/* 10^5 levels, bombs of aliases: refused where they begin, at once */
static void test_bombs(void **state)
{
	size_t n = 100000, at;
	char *text = malloc(n + 64);

	(void)state;
	assert_non_null(text);
	memset(text, '[', n);
	text[n] = '\0';
	refused_spec(text, -EINVAL, "spec.yaml:1:33: nested deeper than 32 levels");
	bomb(text, n, 9);
	refused_spec(text, -EINVAL, "spec.yaml:4:40: more than 8192 values");
	/* few values, much text */
	at = (size_t)snprintf(text, n, "a: &a ");
	memset(text + at, 'x', 60000);
	at += 60000;
	at += (size_t)snprintf(text + at, n - at, "\nb: [");
	for (int i = 0; i < 20; i++)
		at += (size_t)snprintf(text + at, n - at, "*a, ");
	(void)snprintf(text + at, n - at, "x]\n");
	refused_spec(text, -EINVAL, "spec.yaml:2:73: aliases stand for more than 1024 KiB of text");
	/* deeper by an alias than by what is written */
	(void)snprintf(text, n,
		"a: &a [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]\nb: [[[[[[[[[[[[[[*a]]]]]]]]]]]]]]\n");
	refused_spec(text, -EINVAL, "spec.yaml:2:18: nested deeper than 32 levels");
	at = 0;
	for (int i = 0; i < 65; i++)
		at += (size_t)snprintf(text + at, n - at, "k%d: &k%d x\n", i, i);
	refused_spec(text, -EINVAL, "spec.yaml:65:6: more than 64 anchors");
	free(text);
	/* more placeholders than there may be */
	text = calloc(1, 40000);
	assert_non_null(text);
	strcpy(text, "a: ");
	for (size_t i = 0; i < 1025; i++)
		strcat(text + 20 * i, "${{ kit.args.name }}");
	refused_spec(text, -E2BIG, "spec.yaml:1:20484: too many placeholders");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zoo),
		cmocka_unit_test(test_old_agent),
		cmocka_unit_test(test_old_mixin),
		cmocka_unit_test(test_new_agent),
		cmocka_unit_test(test_new_mixin),
		cmocka_unit_test(test_tree_zoo),
		cmocka_unit_test(test_files_zoo),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_bombs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
