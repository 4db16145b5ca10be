package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"google.golang.org/grpc/codes"

	"crypto/sha256"
	"encoding/hex"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

const (
	images = "machine.ImageService/"
	// system is the containerd instance that upgrades use.
	system = `"containerd":{"driver":"CRI","namespace":"NS_SYSTEM"}`
	// kubernetes is the containerd instance of pods.
	kubernetes = `"containerd":{"driver":"CRI","namespace":"NS_CRI"}`
	installer  = "ghcr.io/siderolabs/installer:v1.14.0"
)

// pull pulls an image and gives the digest-pinned name.
func (w *world) pull(t *probe.T, node, instance, image string) string {
	values := t.Server(conn.ToNode(t.Context, node), w.admin, images+"Pull", `{`+instance+`,"image_ref":"`+image+`"}`).Whole()
	t.Check(len(values) > 0, "no message")
	for _, value := range values[:len(values)-1] {
		t.Check(value.At("pull_progress.layer_id").String() != "", "%s", value)
	}
	name := values[len(values)-1].At("name").String()
	t.Check(strings.Contains(name, "@sha256:"), "name %q", name)
	return name
}

// archive is an image with one layer, in the layout of the Open Container Initiative.
func archive(name string) ([]byte, error) {
	blobs := map[string][]byte{}
	blob := func(content []byte) (string, int) {
		sum := sha256.Sum256(content)
		digest := hex.EncodeToString(sum[:])
		blobs["blobs/sha256/"+digest] = content
		return "sha256:" + digest, len(content)
	}
	var layer bytes.Buffer
	inner := tar.NewWriter(&layer)
	if err := inner.WriteHeader(&tar.Header{Name: "hello", Mode: 0o644, Size: 5}); err != nil {
		return nil, err
	}
	if _, err := inner.Write([]byte("hello")); err != nil {
		return nil, err
	}
	if err := inner.Close(); err != nil {
		return nil, err
	}
	type object = map[string]any
	encode := func(value object) []byte {
		text, _ := json.Marshal(value)
		return text
	}
	layerDigest, layerSize := blob(layer.Bytes())
	configDigest, configSize := blob(encode(object{"architecture": "amd64", "os": "linux",
		"rootfs": object{"type": "layers", "diff_ids": []string{layerDigest}}}))
	const media = "application/vnd.oci.image."
	manifestDigest, manifestSize := blob(encode(object{"schemaVersion": 2, "mediaType": media + "manifest.v1+json",
		"config": object{"mediaType": media + "config.v1+json", "digest": configDigest, "size": configSize},
		"layers": []object{{"mediaType": media + "layer.v1.tar", "digest": layerDigest, "size": layerSize}}}))
	blobs["oci-layout"] = encode(object{"imageLayoutVersion": "1.0.0"})
	blobs["index.json"] = encode(object{"schemaVersion": 2, "manifests": []object{{
		"mediaType": media + "manifest.v1+json", "digest": manifestDigest, "size": manifestSize,
		"annotations": object{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}}})
	// The format that `docker save` writes, beside it, as containerd and Docker both do.
	text, _ := json.Marshal([]object{{"Config": "blobs/sha256/" + strings.TrimPrefix(configDigest, "sha256:"),
		"RepoTags": []string{name}, "Layers": []string{"blobs/sha256/" + strings.TrimPrefix(layerDigest, "sha256:")}}})
	blobs["manifest.json"] = text
	var out bytes.Buffer
	outer := tar.NewWriter(&out)
	for path, content := range blobs {
		if err := outer.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := outer.Write(content); err != nil {
			return nil, err
		}
	}
	err := outer.Close()
	return out.Bytes(), err
}

func (w *world) images() []probe.Step {
	const imported = "interop.example/hello:1"
	var name string
	return []probe.Step{
		{Name: "image.Pull", Run: func(t *probe.T) {
			name = w.pull(t, w.planes[0].address, system, installer)
			again := w.pull(t, w.planes[0].address, system, installer)
			t.Check(name == again, "%s, then %s", name, again)
			t.See("%s", name[:strings.Index(name, "@")+len("@sha256:")])
		}},
		{Name: "image.List", Run: func(t *probe.T) {
			values := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, images+"List", `{`+system+`}`).Whole()
			found := false
			for _, value := range values {
				t.Check(strings.HasPrefix(value.At("digest").String(), "sha256:"), "%s", value)
				found = found || strings.HasPrefix(value.At("name").String(), "ghcr.io/siderolabs/installer")
			}
			t.Check(found, "the pulled image is not listed")
			t.See("%d images", len(values))
		}},
		{Name: "image.List.unset", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, images+"List", "").All()
			t.Status(err, codes.InvalidArgument, "invalid containerd namespace NS_UNKNOWN")
		}},
		{Name: "image.Import", Run: func(t *probe.T) {
			data, err := archive(imported)
			t.Must(err, "making an image")
			stream := t.Open(conn.ToNode(t.Context, w.planes[0].address), w.admin, images+"Import")
			stream.Send(`{` + kubernetes + `}`)
			for rest := data; len(rest) > 0; {
				part := rest[:min(32<<10, len(rest))]
				stream.Send(`{"image_chunk":{"bytes":"` + base64.StdEncoding.EncodeToString(part) + `"}}`)
				rest = rest[len(part):]
			}
			stream.Close()
			t.Check(stream.Next().At("name").String() == imported, "another name")
			t.See("%s", imported)
		}},
		{Name: "image.Import.no-instance", Run: func(t *probe.T) {
			stream := t.Open(conn.ToNode(t.Context, w.planes[0].address), w.admin, images+"Import")
			stream.Send(`{"image_chunk":{"bytes":"AA=="}}`)
			stream.Close()
			_, err := stream.Recv()
			t.Status(err, codes.InvalidArgument, "containerd instance is required")
		}},
		{Name: "image.Remove", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			request := `{` + kubernetes + `,"image_ref":"` + imported + `"}`
			t.Call(node, w.admin, images+"Remove", request)
			t.Refused(node, w.admin, images+"Remove", request, codes.NotFound, "image "+imported+" not found")
		}},
		{Name: "image.Verify", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, images+"Verify", `{"image_ref":"`+installer+`"}`)
			t.Check(reply.At("verified").String() == "false" && reply.At("message").String() == "no matched rule", "%s", reply)
			t.See("%s", reply.At("message"))
		}},
		{Name: "machine.ImagePull", Run: func(t *probe.T) {
			t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"ImagePull",
				`{"namespace":"NS_CRI","reference":"registry.k8s.io/pause:3.10.2"}`)
		}},
		{Name: "machine.ImageList", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			values := t.Server(node, w.admin, machine+"ImageList", `{"namespace":"NS_CRI"}`).Whole()
			found := false
			for _, value := range values {
				found = found || strings.HasPrefix(value.At("name").String(), "registry.k8s.io/pause")
			}
			t.Check(found, "the pulled image is not listed")
			_, err := t.Server(node, w.admin, machine+"ImageList", "").All()
			t.Status(err, codes.InvalidArgument, "invalid namespace NS_UNKNOWN")
		}},
	}
}
