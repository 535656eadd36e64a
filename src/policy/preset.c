#include "policy/preset.h"
#include <stdio.h>
#include <string.h>

static const struct policy_preset_entry open_entries[] = {{"all", "**"}};

static const struct policy_preset_entry balanced_entries[] = {
	{"ai", "**.anthropic.com:443"},
	{"ai", "**.claude.ai:443"},
	{"ai", "**.claude.com:443"},
	{"ai", "**.openai.com:443"},
	{"ai", "**.chatgpt.com:443"},
	{"ai", "generativelanguage.googleapis.com:443"},
	{"ai", "cloudcode-pa.googleapis.com:443"},
	{"ai", "oauth2.googleapis.com:443"},
	{"ai", "**.cursor.sh:443"},
	{"ai", "**.cursor.com:443"},
	{"ai", "**.factory.ai:443"},
	{"ai", "**.groq.com:443"},
	{"ai", "**.mistral.ai:443"},
	{"ai", "**.openrouter.ai:443"},
	{"ai", "**.x.ai:443"},
	{"ai", "**.nebius.com:443"},
	{"ai", "**.models.dev:443"},
	{"ai", "**.opencode.ai:443"},
	{"ai", "**.huggingface.co:443"},
	{"code", "**.github.com:443"},
	{"code", "**.githubusercontent.com:443"},
	{"code", "**.githubcopilot.com:443"},
	{"code", "**.githubassets.com:443"},
	{"code", "**.gitlab.com:443"},
	{"code", "**.bitbucket.org:443"},
	{"code", "**.codeberg.org:443"},
	{"code", "**.sr.ht:443"},
	{"packages", "**.npmjs.org:443"},
	{"packages", "**.npmjs.com:443"},
	{"packages", "**.yarnpkg.com:443"},
	{"packages", "**.nodejs.org:443"},
	{"packages", "**.nodesource.com:443"},
	{"packages", "**.bun.sh:443"},
	{"packages", "**.deno.land:443"},
	{"packages", "**.jsr.io:443"},
	{"packages", "**.pypi.org:443"},
	{"packages", "**.pythonhosted.org:443"},
	{"packages", "**.python.org:443"},
	{"packages", "**.astral.sh:443"},
	{"packages", "**.conda.io:443"},
	{"packages", "**.anaconda.org:443"},
	{"packages", "**.crates.io:443"},
	{"packages", "**.rust-lang.org:443"},
	{"packages", "**.rustup.rs:443"},
	{"packages", "**.golang.org:443"},
	{"packages", "**.go.dev:443"},
	{"packages", "**.rubygems.org:443"},
	{"packages", "**.packagist.org:443"},
	{"packages", "**.getcomposer.org:443"},
	{"packages", "**.maven.org:443"},
	{"packages", "**.maven.apache.org:443"},
	{"packages", "**.gradle.org:443"},
	{"packages", "**.nuget.org:443"},
	{"packages", "**.hex.pm:443"},
	{"packages", "**.cpan.org:443"},
	{"packages", "**.pub.dev:443"},
	{"packages", "**.haskell.org:443"},
	{"packages", "**.r-project.org:443"},
	{"containers", "**.docker.io:443"},
	{"containers", "**.docker.com:443"},
	{"containers", "**.ghcr.io:443"},
	{"containers", "**.quay.io:443"},
	{"containers", "**.gcr.io:443"},
	{"containers", "**.mcr.microsoft.com:443"},
	{"containers", "**.k8s.io:443"},
	{"system", "**.debian.org:443"},
	{"system", "**.debian.org:80"},
	{"system", "**.ubuntu.com:443"},
	{"system", "**.ubuntu.com:80"},
	{"system", "**.alpinelinux.org:443"},
	{"system", "**.archlinux.org:443"},
	{"system", "**.fedoraproject.org:443"},
	{"system", "**.fedoraproject.org:80"},
	{"certificates", "**.lencr.org:80"},
	{"certificates", "**.digicert.com:80"},
	{"certificates", "**.pki.goog:80"},
	{"certificates", "**.sectigo.com:80"},
	{"certificates", "**.globalsign.com:80"},
	{"certificates", "**.amazontrust.com:80"},
	{"certificates", "**.identrust.com:80"},
};

static const struct policy_preset presets[] = {
	{"open", "allow-all",
		"every public host; private addresses and the host itself still need a rule",
		open_entries, ARRAY_LEN(open_entries)},
	{"balanced", "balanced",
		"AI services, code hosts, package registries, and those this host's own clients "
		"use",
		balanced_entries, ARRAY_LEN(balanced_entries)},
	{"locked-down", "deny-all", "nothing but what rules allow", NULL, 0},
};

const struct policy_preset *policy_preset_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(presets); i++)
		if (strcmp(presets[i].name, name) == 0 || strcmp(presets[i].alias, name) == 0)
			return &presets[i];
	return NULL;
}

const struct policy_preset *policy_preset_at(size_t i)
{
	return i < ARRAY_LEN(presets) ? &presets[i] : NULL;
}

char *policy_preset_id(const struct policy_preset *s, size_t i, char dst[POLICY_ID_MAX + 1])
{
	unsigned nth = 1;

	for (size_t j = 0; j < i; j++)
		nth += strcmp(s->entries[j].group, s->entries[i].group) == 0;
	snprintf(dst, POLICY_ID_MAX + 1, "%s.%s.%u", s->name, s->entries[i].group, nth);
	return dst;
}

int policy_preset_add(const struct policy_preset *s, struct policy *p, struct err *e)
{
	char id[POLICY_ID_MAX + 1], origin[64];

	snprintf(origin, sizeof(origin), "preset %s", s->name);
	for (size_t i = 0; i < s->n; i++) {
		const struct policy_rule r = {.id = policy_preset_id(s, i, id),
			.resource = s->entries[i].resource,
			.origin = origin,
			.source = POLICY_SOURCE_USER,
			.decision = POLICY_ALLOW};
		int rc = policy_add(p, &r, e);

		if (rc < 0)
			return err_wrap(e, rc, "preset %s", s->name);
	}
	return 0;
}
