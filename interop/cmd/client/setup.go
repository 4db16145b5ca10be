package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
	"talos-interop/internal/talosconfig"
)

func (w *world) setUp() []probe.Step {
	return []probe.Step{
		{Name: "setup.talosconfig.load", Run: func(t *probe.T) {
			config, err := talosconfig.Load(w.path)
			t.Must(err, "loading the talosconfig")
			current, err := config.Current()
			t.Must(err, "finding the context")
			leaf, err := current.Leaf()
			t.Must(err, "reading the client certificate")
			t.Check(slices.Equal(leaf.Subject.Organization, []string{"os:admin"}), "roles %v", leaf.Subject.Organization)
			t.Check(len(current.Endpoints) > 1, "%d endpoints, round robin needs several", len(current.Endpoints))
			w.config, w.current = config, current
			t.See("context %s, %d endpoints, roles %v, %s key", config.Context, len(current.Endpoints),
				leaf.Subject.Organization, leaf.PublicKeyAlgorithm)
		}},
		{Name: "setup.connect", Run: func(t *probe.T) {
			config, err := w.current.TLS()
			t.Must(err, "setting TLS up")
			w.admin, err = conn.Dial(w.current.Endpoints, config, w.log)
			t.Must(err, "dialling")
			reply := t.Call(t.Context, w.admin, "machine.MachineService/Version", "")
			t.Check(!reply.At("messages.0.metadata").Present(), "a call without node metadata got metadata")
			t.See("%s %s/%s", reply.At("messages.0.version.tag"), reply.At("messages.0.version.os"),
				reply.At("messages.0.version.arch"))
		}},
		{Name: "setup.members", Run: func(t *probe.T) {
			stream := t.Server(t.Context, w.admin, "cosi.resource.State/List",
				`{"namespace":"cluster","type":"Members.cluster.talos.dev"}`)
			for _, item := range stream.Whole() {
				var spec struct {
					Hostname    string   `yaml:"hostname"`
					MachineType string   `yaml:"machineType"`
					Addresses   []string `yaml:"addresses"`
				}
				t.Must(yaml.Unmarshal([]byte(item.At("resource.spec.yaml_spec").String()), &spec), "reading a member")
				t.Check(len(spec.Addresses) > 0, "member %s has no address", spec.Hostname)
				found := member{spec.Hostname, spec.Addresses[0]}
				if spec.MachineType == "controlplane" {
					w.planes = append(w.planes, found)
				} else {
					w.workers = append(w.workers, found)
				}
			}
			t.Check(len(w.planes) >= 3 && len(w.workers) >= 1, "%d control planes and %d workers are too few",
				len(w.planes), len(w.workers))
			t.See("%d control planes, %d workers", len(w.planes), len(w.workers))
		}},
		{Name: "talosconfig.save", Run: func(t *probe.T) {
			path := filepath.Join(filepath.Dir(w.path), "saved", "config")
			t.Must(w.config.Save(path), "saving")
			again, err := talosconfig.Load(path)
			t.Must(err, "loading what was saved")
			first, err := yaml.Marshal(w.config)
			t.Must(err, "rendering")
			second, err := yaml.Marshal(again)
			t.Must(err, "rendering")
			t.Check(bytes.Equal(first, second), "the saved file differs")
			info, err := os.Stat(path)
			t.Must(err, "looking at the file")
			t.See("mode %o", info.Mode().Perm())
		}},
		{Name: "machine.GenerateClientConfiguration", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin,
				"machine.MachineService/GenerateClientConfiguration", `{"roles":["os:reader"],"crt_ttl":"3600s"}`)
			made, err := talosconfig.Parse(reply.At("messages.0.talosconfig").Bytes())
			t.Must(err, "reading the talosconfig")
			t.Check(strings.HasPrefix(made.Context, "reader@"), "context %q", made.Context)
			current, err := made.Current()
			t.Must(err, "finding the context")
			t.Check(len(current.Endpoints) == 0, "endpoints %v", current.Endpoints)
			t.Check(current.Crt == base64.StdEncoding.EncodeToString(reply.At("messages.0.crt").Bytes()), "two certificates")
			leaf, err := current.Leaf()
			t.Must(err, "reading the certificate")
			left := time.Until(leaf.NotAfter)
			t.Check(left > 50*time.Minute && left <= time.Hour, "valid for %s", left)
			config, err := current.TLS()
			t.Must(err, "setting TLS up")
			w.reader, err = conn.Dial(w.current.Endpoints, config, w.log)
			t.Must(err, "dialling")
			t.Call(t.Context, w.reader, "machine.MachineService/Hostname", "")
			t.See("context %s, roles %v", made.Context, leaf.Subject.Organization)
		}},
	}
}
