// Command client drives a Talos cluster through every RPC that an apid serves, with Go's gRPC, TLS and
// protobuf, and prints one JSON line for each step. `cargo xtask interop` starts it and judges the lines.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
	"talos-interop/internal/protos"
	"talos-interop/internal/talosconfig"
)

// world is what the steps share.
type world struct {
	path    string
	config  *talosconfig.Config
	current *talosconfig.Context
	log     *conn.Log
	admin   *grpc.ClientConn
	reader  *grpc.ClientConn
	planes  []member
	workers []member
	// endpoints are the endpoints of the talosconfig by the host name of the machine that answers there.
	endpoints map[string]int
}

// member is a machine as discovery knows it.
type member struct{ hostname, address string }

func main() {
	path := flag.String("talosconfig", "", "file with the credentials of an administrator")
	folder := flag.String("protos", "proto", "folder with the .proto files")
	only := flag.String("only", "", "run only steps whose name begins with this, and those that set up")
	flag.Parse()
	if err := run(*path, *folder, *only); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(path, folder, only string) error {
	registry, err := protos.Load(context.Background(), folder)
	if err != nil {
		return err
	}
	w := &world{path: path, log: &conn.Log{}}
	runner := &probe.Runner{Protos: registry, Log: w.log, Out: os.Stdout}
	groups := [][]probe.Step{
		w.setUp(), w.routing(), w.system(), w.files(), w.streams(), w.cluster(), w.services(), w.images(), w.storage(),
		w.lifecycle(), w.debug(), w.cosi(), w.roles(), w.etcd(), w.power(), w.maintenance(),
	}
	failed := 0
	for _, steps := range groups {
		for _, step := range steps {
			if only != "" && !strings.HasPrefix(step.Name, "setup.") && !strings.HasPrefix(step.Name, only) {
				continue
			}
			if !runner.Run(step) {
				failed++
				if strings.HasPrefix(step.Name, "setup.") {
					return fmt.Errorf("%s failed", step.Name)
				}
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d steps failed", failed)
	}
	return nil
}
