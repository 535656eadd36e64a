#include "daemon/api.h"
#include "daemon/ports.h"
#include <errno.h>

static int show(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();

	if (ports_view(a->box, o))
		return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
	return conn_json(a->c, 200, TAKE(o));
}

int api_ports(struct api_call *a, struct err *e)
{
	return show(a, e);
}

int api_ports_change(struct api_call *a, struct err *e)
{
	const struct js *publish, *unpublish;
	struct js_reader rd;
	int r;

	js_read(&rd, a->body, "", e);
	publish = js_take_array(&rd, "publish", PORTS_MAX);
	unpublish = js_take_array(&rd, "unpublish", PORTS_MAX);
	r = js_done(&rd);
	if (r == 0)
		r = ports_change(a->box, publish, unpublish, e);
	return r < 0 ? r : show(a, e);
}
