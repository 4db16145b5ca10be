package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"google.golang.org/grpc/codes"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

func (w *world) etcd() []probe.Step {
	var snapshot []byte
	members := func(t *probe.T) map[string]uint64 {
		reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdMemberList", "")
		ids := map[string]uint64{}
		for _, item := range reply.At("messages.0.members").List() {
			id, err := strconv.ParseUint(item.At("id").String(), 10, 64)
			t.Must(err, "reading a member id")
			ids[item.At("hostname").String()] = id
		}
		return ids
	}
	return []probe.Step{
		{Name: "machine.EtcdMemberList", Run: func(t *probe.T) {
			ids := members(t)
			for _, plane := range w.planes {
				t.Check(ids[plane.hostname] != 0, "%s is no member: %v", plane.hostname, ids)
			}
			t.Check(len(ids) == len(w.planes), "members %v", ids)
			t.See("%d members", len(ids))
		}},
		{Name: "machine.EtcdMemberList.worker", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.workers[0].address), w.admin, machine+"EtcdMemberList", "",
				codes.Unimplemented, "member list is only available on control plane nodes")
		}},
		{Name: "machine.EtcdStatus", Run: func(t *probe.T) {
			ids := members(t)
			var leader string
			for _, plane := range w.planes {
				reply := t.Call(conn.ToNode(t.Context, plane.address), w.admin, machine+"EtcdStatus", "")
				got := reply.At("messages.0.member_status")
				t.Check(got.At("member_id").String() == strconv.FormatUint(ids[plane.hostname], 10), "%s: member %s", plane.hostname, got.At("member_id"))
				t.Check(leader == "" || leader == got.At("leader").String(), "two leaders")
				t.Check(got.At("db_size_in_use").Int() <= got.At("db_size").Int(), "%s", got)
				leader = got.At("leader").String()
			}
			t.See("one leader, %d members", len(w.planes))
		}},
		{Name: "machine.EtcdAlarmList", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdAlarmList", "")
			t.Check(len(reply.At("messages").List()) == 1, "%s", reply)
			t.See("%d alarms", len(reply.At("messages.0.member_alarms").List()))
		}},
		{Name: "machine.EtcdAlarmDisarm", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdAlarmDisarm", "")
			t.Check(len(reply.At("messages").List()) == 1, "%s", reply)
		}},
		{Name: "machine.EtcdDefragment", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdDefragment", "")
			t.Check(len(reply.At("messages").List()) == 1, "%s", reply)
		}},
		{Name: "machine.EtcdForfeitLeadership", Run: func(t *probe.T) {
			leaders := 0
			for _, plane := range w.planes {
				reply := t.Call(conn.ToNode(t.Context, plane.address), w.admin, machine+"EtcdForfeitLeadership", "")
				if name := reply.At("messages.0.member").String(); name != "" {
					t.Check(name != plane.hostname, "%s gave leadership to itself", name)
					leaders++
				}
			}
			t.Check(leaders > 0, "no member was the leader")
			t.See("%d changes of leader", leaders)
		}},
		{Name: "machine.EtcdDowngradeValidate", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			t.Refused(node, w.admin, machine+"EtcdDowngradeValidate", "", codes.InvalidArgument, "version is required for etcd downgrade")
			t.Refused(node, w.admin, machine+"EtcdDowngradeValidate", `{"version":"3.4"}`, codes.InvalidArgument,
				"etcd downgrade is only supported to 3.5 and later versions")
			reply := t.Call(node, w.admin, machine+"EtcdDowngradeValidate", `{"version":"3.6"}`)
			t.Check(reply.At("messages.0.cluster_downgrade.cluster_version").String() != "", "%s", reply)
		}},
		{Name: "machine.EtcdDowngradeEnable", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdDowngradeEnable", `{"version":"3.6"}`)
			t.Check(reply.At("messages.0.cluster_downgrade.cluster_version").String() != "", "%s", reply)
		}},
		{Name: "machine.EtcdDowngradeCancel", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdDowngradeCancel", "")
			t.Check(len(reply.At("messages").List()) == 1, "%s", reply)
		}},
		{Name: "machine.EtcdSnapshot", Run: func(t *probe.T) {
			data, chunks := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdSnapshot", "").Data()
			t.Check(len(data)%512 == sha256.Size && len(data) > sha256.Size, "%d bytes", len(data))
			body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
			want := sha256.Sum256(body)
			t.Check(bytes.Equal(sum, want[:]), "the checksum is wrong")
			snapshot = data
			t.See("%d chunks, the checksum holds", chunks)
		}},
		{Name: "machine.EtcdRecover", Run: func(t *probe.T) {
			stream := t.Open(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdRecover")
			for rest := snapshot; len(rest) > 0; {
				part := rest[:min(4096, len(rest))]
				stream.Send(`{"bytes":"` + base64.StdEncoding.EncodeToString(part) + `"}`)
				rest = rest[len(part):]
			}
			stream.Close()
			reply := stream.Next()
			t.Check(len(reply.At("messages").List()) == 1, "%s", reply)
			items := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"List", `{"root":"/var/lib/etcd.snapshot"}`).Whole()
			t.Check(len(items) == 1 && items[0].At("size").Int() == int64(len(snapshot)), "%v", items)
			t.See("%d bytes arrived", len(snapshot))
		}},
		{Name: "machine.Bootstrap", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Bootstrap", "",
				codes.AlreadyExists, "etcd data directory is not empty")
		}},
		{Name: "machine.EtcdRemoveMemberByID", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"EtcdRemoveMemberByID", `{"member_id":"42"}`,
				codes.NotFound, "failed to remove member 42: etcdserver: member not found")
		}},
		{Name: "machine.EtcdLeaveCluster", Run: func(t *probe.T) {
			last := w.planes[len(w.planes)-1]
			t.Call(conn.ToNode(t.Context, last.address), w.admin, machine+"EtcdLeaveCluster", "")
			ids := members(t)
			t.Check(len(ids) == len(w.planes)-1 && ids[last.hostname] == 0, "members %v", ids)
			t.See("%d members are left", len(ids))
		}},
	}
}
