#include "vsock_guest.h"

void vg_init(struct vsock_guest *vg, struct virtio_dev *dev, uint32_t rx_bytes)
{
	*vg = (struct vsock_guest){.dev = dev, .rx_bytes = rx_bytes};
	rg_init(&vg->g, (32u << 20));
	for (unsigned i = 0; i < VG_QUEUE; i++) {
		vg->tx_hdr[i] = rg_alloc(&vg->g, sizeof(struct virtio_vsock_hdr), 4);
		vg->tx_buf[i] = rg_alloc(&vg->g, VG_TX_BYTES, 16);
		vg->rx_hdr[i] = rg_alloc(&vg->g, sizeof(struct virtio_vsock_hdr), 4);
		vg->rx_buf[i] = rg_alloc(&vg->g, rx_bytes, 16);
	}
}

void vg_fini(struct vsock_guest *vg)
{
	rg_fini(&vg->g);
}

static void fresh_rings(struct vsock_guest *vg)
{
	rg_queue_init(&vg->g, &vg->rx, VG_QUEUE);
	rg_queue_init(&vg->g, &vg->tx, VG_QUEUE);
	vg->tx_at = vg->tx_out = 0;
	for (unsigned i = 0; i < VG_QUEUE / 2; i++)
		vg->rx_free[i] = (uint16_t)i;
	vg->n_rx_free = VG_QUEUE / 2; /* two descriptors each */
}

void vg_start(struct vsock_guest *vg, bool post)
{
	rg_attach(&vg->g, vg->dev, 1ull << VIRTIO_F_EVENT_IDX | 1ull << VIRTIO_F_INDIRECT_DESC);
	vg_restart(vg);
	if (post)
		vg_post(vg, VG_QUEUE / 2);
}

void vg_restart(struct vsock_guest *vg)
{
	fresh_rings(vg);
	rg_start(&vg->rx, vg->dev, 0);
	rg_start(&vg->tx, vg->dev, 1);
}

void vg_kick(struct vsock_guest *vg, unsigned queue)
{
	if (vg->kick)
		vg->kick(vg->kick_ctx, queue);
	else
		virtio_dev_kick(vg->dev, queue);
}

/* Slot i always uses descriptors 2i and 2i+1, so that a used id names its slot. */
void vg_post(struct vsock_guest *vg, unsigned n)
{
	for (unsigned k = 0; k < n && vg->n_rx_free > 0; k++) {
		uint16_t slot = vg->rx_free[--vg->n_rx_free], d = (uint16_t)(2 * slot);

		rg_write_desc(&vg->rx, d, vg->rx_hdr[slot], sizeof(struct virtio_vsock_hdr),
			RG_WRITE | RG_NEXT, (uint16_t)(d + 1));
		rg_write_desc(
			&vg->rx, (uint16_t)(d + 1), vg->rx_buf[slot], vg->rx_bytes, RG_WRITE, 0);
		rg_offer(&vg->rx, d);
	}
	vg_kick(vg, 0);
}

bool vg_queue(struct vsock_guest *vg, const struct vg_packet *p)
{
	unsigned slot = vg->tx_at;
	struct virtio_vsock_hdr h = {.src_cid = p->src_cid ? p->src_cid : VSOCK_GUEST_CID,
		.dst_cid = p->dst_cid ? p->dst_cid : VSOCK_HOST_CID,
		.src_port = p->guest_port,
		.dst_port = p->host_port,
		.len = p->len + p->extra_len,
		.type = p->type ? p->type : VIRTIO_VSOCK_TYPE_STREAM,
		.op = p->op,
		.flags = p->flags,
		.buf_alloc = p->lie_alloc ? p->alloc : VG_GUEST_BUF,
		.fwd_cnt = p->fwd};
	struct rg_span s[2] = {
		{vg->tx_hdr[slot], sizeof(h), false}, {vg->tx_buf[slot], p->len, false}};

	while (rg_used(&vg->tx, NULL, NULL))
		vg->tx_out--;
	if (vg->tx_out == VG_QUEUE / 2)
		return false;
	memcpy(rg_host(&vg->g, s[0].gpa), &h, sizeof(h));
	if (p->payload)
		memcpy(rg_host(&vg->g, s[1].gpa), p->payload, p->len);
	rg_chain(&vg->tx, s, p->len ? 2 : 1);
	vg->tx_at = (vg->tx_at + 1) % VG_QUEUE;
	vg->tx_out++;
	return true;
}

void vg_send(struct vsock_guest *vg, const struct vg_packet *p)
{
	if (!vg_queue(vg, p))
		abort(); /* the device must give chains back at once */
	vg_kick(vg, 1);
}

bool vg_recv(struct vsock_guest *vg, struct virtio_vsock_hdr *ret_h, const uint8_t **ret_payload)
{
	uint32_t id, len;
	uint16_t slot;

	if (!rg_used(&vg->rx, &id, &len))
		return false;
	slot = (uint16_t)(id / 2);
	memcpy(ret_h, rg_host(&vg->g, vg->rx_hdr[slot]), sizeof(*ret_h));
	if (len != sizeof(*ret_h) + ret_h->len || ret_h->len > vg->rx_bytes)
		abort();
	if (ret_payload)
		*ret_payload = rg_host(&vg->g, vg->rx_buf[slot]);
	vg->rx_free[vg->n_rx_free++] = slot;
	return true;
}
