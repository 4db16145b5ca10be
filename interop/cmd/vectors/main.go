// Command vectors decodes the samples of resources that this repository keeps, with Go's protobuf and YAML.
// Each protobuf sample must have no field that the protos do not know, none that is unset, and must come
// out the same when it is encoded again.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"talos-interop/internal/protos"
)

// sample is one line of the file. The first line has only an origin.
type sample struct {
	Origin   string `json:"origin"`
	Type     string `json:"type"`
	Message  string `json:"message"`
	ProtoHex string `json:"proto_hex"`
	YAML     string `json:"yaml"`
}

func main() {
	path := flag.String("file", "", "file with one sample a line, as JSON")
	folder := flag.String("protos", "proto", "folder with the .proto files")
	flag.Parse()
	if err := run(*path, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(path, folder string) error {
	registry, err := protos.Load(context.Background(), folder)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	var problems []error
	binary, text := 0, 0
	for number := 1; lines.Scan(); number++ {
		var sample sample
		if err := json.Unmarshal(lines.Bytes(), &sample); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if sample.Origin != "" {
			continue
		}
		if sample.ProtoHex != "" {
			binary++
			if err := check(registry, &sample); err != nil {
				problems = append(problems, fmt.Errorf("line %d: %s: %w", number, sample.Type, err))
			}
		}
		var spec any
		if err := yaml.Unmarshal([]byte(sample.YAML), &spec); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %s: %w", number, sample.Type, err))
		}
		text++
	}
	if err := lines.Err(); err != nil {
		return err
	}
	fmt.Printf("%d protobuf and %d YAML samples, %d problems\n", binary, text, len(problems))
	if binary == 0 || text == 0 {
		problems = append(problems, errors.New("there are no samples"))
	}
	return errors.Join(problems...)
}

func check(registry *protos.Registry, sample *sample) error {
	data, err := hex.DecodeString(sample.ProtoHex)
	if err != nil {
		return err
	}
	message, err := registry.Message(sample.Message)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(data, message); err != nil {
		return err
	}
	if err := full(message, sample.Message, 0); err != nil {
		return err
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("encoded again it is %x, not %s", again, sample.ProtoHex)
	}
	return nil
}

// full demands that every field is set, down to where a message contains itself.
func full(message protoreflect.ProtoMessage, path string, depth int) error {
	reflection := message.ProtoReflect()
	if len(reflection.GetUnknown()) > 0 {
		return fmt.Errorf("%s has unknown fields", path)
	}
	fields := reflection.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := path + "." + string(field.Name())
		if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() && reflection.WhichOneof(oneof) != field {
			continue
		}
		if !reflection.Has(field) {
			return fmt.Errorf("%s is unset", name)
		}
		if field.Message() == nil || field.IsMap() || depth > 8 {
			continue
		}
		nested := reflection.Get(field)
		if field.IsList() {
			for j := range nested.List().Len() {
				if err := full(nested.List().Get(j).Message().Interface(), name, depth+1); err != nil {
					return err
				}
			}
		} else if err := full(nested.Message().Interface(), name, depth+1); err != nil {
			return err
		}
	}
	return nil
}
