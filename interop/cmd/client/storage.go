package main

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

func (w *world) storage() []probe.Step {
	refused := func(name, path string, cases ...[3]string) probe.Step {
		return probe.Step{Name: name, Run: func(t *probe.T) {
			for _, c := range cases {
				var code codes.Code
				t.Must(code.UnmarshalJSON([]byte(strconv.Quote(c[1]))), "reading a code")
				t.Refused(conn.ToNode(t.Context, w.workers[0].address), w.admin, path, c[0], code, c[2])
			}
		}}
	}
	return []probe.Step{
		{Name: "storage.Disks", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.workers[0].address), w.admin, "storage.StorageService/Disks", "")
			systems := 0
			for _, disk := range reply.At("messages.0.disks").List() {
				t.Check(strings.HasPrefix(disk.At("device_name").String(), "/dev/") && disk.At("size").Int() > 0, "%s", disk)
				if disk.At("system_disk").String() == "true" {
					systems++
				}
			}
			t.Check(systems == 1, "%d system disks", systems)
			t.See("%d disks, one of the system", len(reply.At("messages.0.disks").List()))
		}},
		refused("storage.BlockDeviceWipe", "storage.StorageService/BlockDeviceWipe",
			[3]string{`{"devices":[{"device":"nope"}]}`, "NOT_FOUND", `blockdevice "nope" not found`}),
		refused("machine.LVM.LogicalVolumeRemove", "machine.LVMService/LogicalVolumeRemove",
			[3]string{``, "INVALID_ARGUMENT", "volume_group and logical_volume must be set"},
			[3]string{`{"volume_group":"nope","logical_volume":"nope"}`, "NOT_FOUND", "lvm: resource not found"}),
		refused("machine.LVM.VolumeGroupRemove", "machine.LVMService/VolumeGroupRemove",
			[3]string{``, "INVALID_ARGUMENT", "volume_group must be set"},
			[3]string{`{"volume_group":"nope"}`, "NOT_FOUND", "lvm: resource not found"}),
		refused("machine.LVM.PhysicalVolumeRemove", "machine.LVMService/PhysicalVolumeRemove",
			[3]string{``, "INVALID_ARGUMENT", "device must be set"},
			[3]string{`{"device":"/dev/nope"}`, "NOT_FOUND", "lvm: resource not found"}),
		refused("machine.MD.Destroy", "machine.MDService/Destroy",
			[3]string{``, "INVALID_ARGUMENT", "device must be set"},
			[3]string{`{"device":"nope"}`, "INVALID_ARGUMENT", "device must be a full /dev path"},
			[3]string{`{"device":"/dev/md99"}`, "NOT_FOUND", "md: array not found"}),
	}
}

func (w *world) debug() []probe.Step {
	const path = "machine.DebugService/ContainerRun"
	const instance = `"containerd":{"driver":"CONTAINERD","namespace":"NS_SYSTEM"}`
	const image = "docker.io/library/alpine:3.22"
	return []probe.Step{
		{Name: "debug.ContainerRun", Run: func(t *probe.T) {
			name := w.pull(t, w.workers[0].address, instance, image)
			ctx, cancel := context.WithCancel(conn.ToNode(t.Context, w.workers[0].address))
			defer cancel()
			stream := t.Open(ctx, w.admin, path)
			stream.Send(`{"spec":{` + instance + `,"image_name":"` + name + `","profile":"PROFILE_PRIVILEGED","args":["/bin/sh"]}}`)
			stream.Send(`{"term_resize":{"width":80,"height":25}}`)
			stream.Send(`{"stdin_data":"` + base64.StdEncoding.EncodeToString([]byte("echo interop\n")) + `"}`)
			output := ""
			for !strings.Contains(output, "interop") {
				value := stream.Next()
				data := value.At("stdout_data").Bytes()
				t.Check(len(data) <= 512, "%d bytes at once", len(data))
				t.Check(!value.At("exit_code").Present(), "it ended after %q", output)
				output += string(data)
			}
			stream.Send(`{"stdin_data":"` + base64.StdEncoding.EncodeToString([]byte("exit 7\n")) + `"}`)
			code := stream.Next()
			for !code.At("exit_code").Present() {
				code = stream.Next()
			}
			t.Check(code.At("exit_code").Int() == 7, "exit code %s", code.At("exit_code"))
			stream.Close()
			stream.Whole()
			t.See("output, exit code 7, clean end")
		}},
		{Name: "debug.ContainerRun.no-image", Run: func(t *probe.T) {
			stream := t.Open(conn.ToNode(t.Context, w.workers[0].address), w.admin, path)
			stream.Send(`{"spec":{` + instance + `,"image_name":"interop.example/nope:1","profile":"PROFILE_PRIVILEGED"}}`)
			_, err := stream.Recv()
			t.Status(err, codes.NotFound, "image interop.example/nope:1 not found")
		}},
		{Name: "debug.ContainerRun.no-spec", Run: func(t *probe.T) {
			stream := t.Open(conn.ToNode(t.Context, w.workers[0].address), w.admin, path)
			stream.Send(`{"stdin_data":"AA=="}`)
			_, err := stream.Recv()
			t.Status(err, codes.InvalidArgument, "expected debug container spec")
		}},
	}
}

func (w *world) lifecycle() []probe.Step {
	const lifecycle = "machine.LifecycleService/"
	return []probe.Step{
		{Name: "lifecycle.Install", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNode(t.Context, w.planes[1].address), w.admin, lifecycle+"Install",
				`{`+system+`,"source":{"image_name":"`+installer+`"},"destination":{"disk":"/dev/sda"}}`)
			_, err := stream.All()
			t.Status(err, codes.AlreadyExists, "machine is already installed")
		}},
		{Name: "lifecycle.Upgrade", Run: func(t *probe.T) {
			name := w.pull(t, w.planes[1].address, system, installer)
			values := t.Server(conn.ToNode(t.Context, w.planes[1].address), w.admin, lifecycle+"Upgrade",
				`{`+system+`,"source":{"image_name":"`+name+`"}}`).Whole()
			t.Check(len(values) > 1, "%d messages", len(values))
			for _, value := range values[:len(values)-1] {
				t.Check(strings.HasSuffix(value.At("progress.message").String(), "\n"), "%s", value)
			}
			last := values[len(values)-1].At("progress")
			t.Check(last.At("exit_code").Present() && last.At("exit_code").Int() == 0, "%s", last)
			t.See("%d lines, exit code 0", len(values)-1)
		}},
		{Name: "lifecycle.Upgrade.not-pulled", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[1].address), w.admin, lifecycle+"Upgrade",
				`{`+system+`,"source":{"image_name":"interop.example/nope:1"}}`).All()
			t.Status(err, codes.Internal, `installer image "interop.example/nope:1" not found in containerd store`)
		}},
		{Name: "lifecycle.Upgrade.no-image", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[1].address), w.admin, lifecycle+"Upgrade", `{`+system+`}`).All()
			t.Status(err, codes.InvalidArgument, "installer image name is required")
		}},
	}
}

func (w *world) cluster() []probe.Step {
	return []probe.Step{
		{Name: "cluster.HealthCheck", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, "cluster.ClusterService/HealthCheck", `{"wait_timeout":"30s"}`)
			values := stream.Whole()
			t.Check(len(values) > 2 && strings.HasPrefix(values[0].At("message").String(), "discovered nodes: ["), "%v", values)
			last := values[len(values)-1].At("message").String()
			t.Check(last == "waiting for all k8s nodes to report schedulable: OK", "last line %q", last)
			t.See("%d lines", len(values))
		}},
		{Name: "cluster.HealthCheck.no-timeout", Run: func(t *probe.T) {
			values, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, "cluster.ClusterService/HealthCheck", "").All()
			t.Check(len(values) == 1, "%d messages", len(values))
			t.Status(err, codes.DeadlineExceeded, "")
		}},
		{Name: "cluster.HealthCheck.worker", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.workers[0].address), w.admin, "cluster.ClusterService/HealthCheck", `{"wait_timeout":"30s"}`).All()
			t.Status(err, codes.Unimplemented, "cluster health check is only available on control plane nodes")
		}},
	}
}
