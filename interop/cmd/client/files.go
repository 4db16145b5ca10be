package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

// readFile reads a file of a node.
func (w *world) readFile(t *probe.T, ctx context.Context, path string) string {
	data, _ := t.Server(ctx, w.admin, machine+"Read", `{"path":"`+path+`"}`).Data()
	return string(data)
}

func (w *world) files() []probe.Step {
	return []probe.Step{
		{Name: "machine.Read", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			id := strings.TrimSpace(w.readFile(t, node, "/proc/sys/kernel/random/boot_id"))
			t.Check(len(id) == 36, "boot id %q", id)
			t.See("boot id of %d characters", len(id))
		}},
		{Name: "machine.Read.missing", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Read", `{"path":"/no/such"}`)
			_, err := stream.All()
			t.Status(err, codes.NotFound, "stat /no/such: no such file or directory")
		}},
		{Name: "machine.Read.directory", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Read", `{"path":"/etc"}`)
			_, err := stream.All()
			t.Status(err, codes.Unknown, "path must be a regular file")
		}},
		{Name: "machine.List", Run: func(t *probe.T) {
			items := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"List", `{"root":"/etc"}`).Whole()
			t.Check(len(items) > 1 && items[0].At("relative_name").String() == ".", "%d items", len(items))
			mode := fs.FileMode(uint32(items[0].At("mode").Int()))
			t.Check(mode.IsDir(), "the mode of /etc is %s", mode)
			t.See("%d items, %s", len(items), mode)
		}},
		{Name: "machine.DiskUsage", Run: func(t *probe.T) {
			items := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"DiskUsage",
				`{"paths":["/etc"],"all":true}`).Whole()
			t.Check(len(items) > 0, "nothing")
			root := items[len(items)-1]
			for _, item := range items {
				t.Check(item.At("size").Int() <= root.At("size").Int(), "%s is larger than its root", item.At("name"))
			}
			t.See("%d items, root last", len(items))
		}},
		{Name: "machine.Copy", Run: func(t *probe.T) {
			data, chunks := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Copy", `{"root_path":"/etc"}`).Data()
			unzipped, err := gzip.NewReader(bytes.NewReader(data))
			t.Must(err, "unzipping")
			files := 0
			for archive := tar.NewReader(unzipped); ; files++ {
				if _, err := archive.Next(); errors.Is(err, io.EOF) {
					break
				} else {
					t.Must(err, "reading the archive")
				}
			}
			t.Check(files > 0, "the archive is empty")
			t.See("%d entries in %d chunks", files, chunks)
		}},
		{Name: "machine.Copy.relative", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Copy", `{"root_path":"etc"}`).All()
			t.Status(err, codes.Unknown, "path is not absolute etc")
		}},
		{Name: "machine.Kubeconfig", Run: func(t *probe.T) {
			values := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Kubeconfig", "").Whole()
			t.Check(len(values) == 1, "%d messages", len(values))
			unzipped, err := gzip.NewReader(bytes.NewReader(values[0].At("bytes").Bytes()))
			t.Must(err, "unzipping")
			archive := tar.NewReader(unzipped)
			header, err := archive.Next()
			t.Must(err, "reading the archive")
			text, err := io.ReadAll(archive)
			t.Must(err, "reading the entry")
			t.Check(header.Name == "kubeconfig" && header.Mode&0o777 == 0o600, "%s %o", header.Name, header.Mode)
			t.Check(bytes.Contains(text, []byte("kind: Config")), "no kubeconfig")
			_, err = archive.Next()
			t.Check(errors.Is(err, io.EOF), "after the entry: %v", err)
			t.See("%s %o, then the end", header.Name, header.Mode&0o777)
		}},
		{Name: "machine.PacketCapture", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(conn.ToNode(t.Context, w.planes[0].address))
			defer cancel()
			stream := t.Server(ctx, w.admin, machine+"PacketCapture", `{"interface":"eth0"}`)
			header := stream.Next().At("bytes").Bytes()
			t.Check(len(header) == 24 && binary.LittleEndian.Uint32(header) == 0xa1b23c4d, "header % x", header)
			t.Check(binary.LittleEndian.Uint32(header[16:]) == 4096, "snaplen %d", binary.LittleEndian.Uint32(header[16:]))
			cancel()
			_, err := stream.All()
			t.Check(status.Code(err) == codes.Canceled, "after cancelling: %v", err)
			t.See("pcap with nanoseconds, cancelled")
		}},
		{Name: "machine.PacketCapture.missing", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"PacketCapture", `{"interface":"nope0"}`).All()
			t.Status(err, codes.NotFound, `interface "nope0" not found`)
		}},
	}
}
