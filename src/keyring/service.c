#include "keyring/service.h"
#include <libsecret/secret.h>
#include <stdio.h>
#include <string.h>

static const SecretSchema schema = {.name = "org.sbx.Key",
	.flags = SECRET_SCHEMA_NONE,
	.attributes = {{"application", SECRET_SCHEMA_ATTRIBUTE_STRING},
		{"key", SECRET_SCHEMA_ATTRIBUTE_STRING}}};

struct work {
	SecretService *service;
	SecretCollection *keyring; /* the default one; NULL: none */
	GHashTable *attributes; /* of the key that is asked for */
	struct keyring_message *out;
};

static bool result(struct work *w, enum keyring_result code, GError *fault)
{
	size_t n = 0;

	w->out->code = (uint8_t)code;
	for (const char *s = fault ? fault->message : ""; *s && n < KEYRING_TEXT_MAX; s++)
		w->out->text[n++] = (char)(*s >= ' ' && *s <= '~' ? *s : '?');
	w->out->text[n] = '\0';
	g_clear_error(&fault);
	return false;
}

/* bus_ok() - is there a bus that is a unix socket? Looking for one by starting programs, as the library would
 * do, or going to another host for it, is no way to find a keyring.
 */
static bool bus_ok(void)
{
	const char *address = g_getenv("DBUS_SESSION_BUS_ADDRESS");
	const char *runtime = g_getenv("XDG_RUNTIME_DIR");
	char path[512];

	if (!address || !*address)
		return runtime && *runtime &&
		       snprintf(path, sizeof(path), "%s/bus", runtime) < (int)sizeof(path) &&
		       g_file_test(path, G_FILE_TEST_EXISTS);
	for (const char *at = address; at; at = strchr(at, ';')) {
		at += *at == ';';
		if (strncmp(at, "unix:", 5) != 0)
			return false;
	}
	return true;
}

static bool open_service(struct work *w)
{
	GError *fault = NULL;
	GDBusConnection *bus;

	if (!bus_ok())
		return result(w, KEYRING_NO_BUS,
			g_error_new_literal(G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
				"DBUS_SESSION_BUS_ADDRESS names none"));
	bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, &fault);
	if (!bus)
		return result(w, KEYRING_NO_BUS, fault);
	/* Who loses the bus loses the keyring: that is an answer, not the end of the process. */
	g_dbus_connection_set_exit_on_close(bus, FALSE);
	g_object_unref(bus);
	w->service = secret_service_get_sync(SECRET_SERVICE_OPEN_SESSION, NULL, &fault);
	if (!w->service)
		return result(w, KEYRING_NO_SERVICE, fault);
	w->keyring = secret_collection_for_alias_sync(
		w->service, SECRET_COLLECTION_DEFAULT, SECRET_COLLECTION_NONE, NULL, &fault);
	return fault ? result(w, KEYRING_FAILED, fault) : true;
}

/* unlock() - @object (a collection or an item); asks its owner when it is locked */
static bool unlock(struct work *w, void *object)
{
	GList *list = g_list_append(NULL, object), *done = NULL;
	GError *fault = NULL;
	int n = secret_service_unlock_sync(w->service, list, NULL, &done, &fault);

	g_list_free(list);
	g_list_free_full(done, g_object_unref);
	if (fault)
		return result(w, KEYRING_FAILED, fault);
	return n > 0 ? true : result(w, KEYRING_LOCKED, NULL);
}

static bool unlock_keyring(struct work *w)
{
	return !secret_collection_get_locked(w->keyring) || unlock(w, w->keyring);
}

/* search() - *ret_item: the key's item, NULL when there is none to be seen */
static bool search(struct work *w, SecretItem **ret_item)
{
	GError *fault = NULL;
	GList *found = secret_service_search_sync(
		w->service, &schema, w->attributes, SECRET_SEARCH_NONE, NULL, &fault);

	*ret_item = found ? g_object_ref(found->data) : NULL;
	g_list_free_full(found, g_object_unref);
	return fault ? result(w, KEYRING_FAILED, fault) : true;
}

/* find() - some services show nothing of a locked keyring, so it is unlocked before a "no" is believed */
static bool find(struct work *w, SecretItem **ret_item)
{
	if (!search(w, ret_item))
		return false;
	if (!*ret_item && w->keyring && secret_collection_get_locked(w->keyring) &&
		(!unlock(w, w->keyring) || !search(w, ret_item)))
		return false;
	return *ret_item && secret_item_get_locked(*ret_item) ? unlock(w, *ret_item) : true;
}

static void do_get(struct work *w)
{
	SecretItem *item = NULL;
	SecretValue *value;
	GError *fault = NULL;
	const char *text;
	gsize len = 0;

	if (!find(w, &item)) {
		g_clear_object(&item);
		return;
	}
	if (!item) {
		result(w, KEYRING_NOT_FOUND, NULL);
		return;
	}
	secret_item_load_secret_sync(item, NULL, &fault);
	value = fault ? NULL : secret_item_get_secret(item);
	text = value ? secret_value_get(value, &len) : NULL;
	if (!text)
		result(w, KEYRING_FAILED, fault);
	else if (len > KEYRING_VALUE_MAX)
		result(w, KEYRING_NOT_FOUND, NULL);
	else
		memcpy(w->out->value, text, len);
	if (value)
		secret_value_unref(value);
	g_object_unref(item);
}

static void do_put(struct work *w, const struct keyring_message *m)
{
	SecretValue *value;
	SecretItem *item;
	GError *fault = NULL;
	char label[64];

	if (!w->keyring) {
		result(w, KEYRING_NO_COLLECTION, NULL);
		return;
	}
	if (!unlock_keyring(w))
		return;
	(void)snprintf(label, sizeof(label), "sbx: key of the stored secrets (%.8s)", m->id);
	value = secret_value_new(m->value, (gssize)strlen(m->value), "text/plain");
	item = secret_item_create_sync(w->keyring, &schema, w->attributes, label, value,
		SECRET_ITEM_CREATE_REPLACE, NULL, &fault);
	if (!item)
		result(w, fault ? KEYRING_FAILED : KEYRING_LOCKED, fault);
	else
		g_object_unref(item);
	secret_value_unref(value);
}

static void do_drop(struct work *w)
{
	SecretItem *item = NULL;
	GError *fault = NULL;

	if (find(w, &item) && item && !secret_item_delete_sync(item, NULL, &fault))
		result(w, fault ? KEYRING_FAILED : KEYRING_LOCKED, fault);
	g_clear_object(&item);
}

void service_do(const struct keyring_message *m, struct keyring_message *ret_m)
{
	struct work w = {.out = ret_m};

	*ret_m = (struct keyring_message){.code = KEYRING_OK};
	if (!open_service(&w))
		return;
	w.attributes = secret_attributes_build(&schema, "application", "sbx", "key", m->id, NULL);
	switch ((enum keyring_op)m->code) {
	case KEYRING_PROBE:
		if (!w.keyring)
			result(&w, KEYRING_NO_COLLECTION, NULL);
		else if (secret_collection_get_locked(w.keyring))
			ret_m->flags = KEYRING_FLAG_LOCKED;
		break;
	case KEYRING_GET:
		do_get(&w);
		break;
	case KEYRING_PUT:
		do_put(&w, m);
		break;
	case KEYRING_DROP:
		do_drop(&w);
		break;
	}
	g_hash_table_unref(w.attributes);
	g_clear_object(&w.keyring);
	g_clear_object(&w.service);
}
