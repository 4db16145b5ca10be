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
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"talos-interop/internal/protos"
)

// sample is one line of the file. The first line has only an origin.
type sample struct {
	Origin   string `json:"origin"`
	Type     string `json:"type"`
	ProtoHex string `json:"proto_hex"`
	YAML     string `json:"yaml"`
}

func main() {
	path := flag.String("file", "", "file with one sample a line, as JSON")
	folder := flag.String("protos", "proto", "folder with the .proto files and resources.toml")
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
	messages, err := messagesOf(filepath.Join(folder, "resources.toml"))
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
			if err := check(registry, messages[sample.Type], sample.ProtoHex); err != nil {
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

// messagesOf reads which message each resource type has: the key "message" in the section of the type.
func messagesOf(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	messages := map[string]string{}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "[\""); ok {
			section = strings.TrimSuffix(name, "\"]")
		} else if message, ok := strings.CutPrefix(line, "message = "); ok {
			messages[section] = strings.Trim(message, "\"")
		}
	}
	return messages, nil
}

func check(registry *protos.Registry, name, sample string) error {
	data, err := hex.DecodeString(sample)
	if err != nil {
		return err
	}
	message, err := registry.Message(name)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(data, message); err != nil {
		return err
	}
	if err := full(message, name, 0); err != nil {
		return err
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("encoded again it is %x, not %s", again, sample)
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
		// The only value of an enumeration cannot be told from none.
		if field.Enum() != nil && field.Enum().Values().Len() == 1 {
			continue
		}
		if !reflection.Has(field) {
			return fmt.Errorf("%s is unset", name)
		}
		// Messages that are not Talos's, such as durations, need not be full.
		foreign := field.Message() != nil && strings.HasPrefix(string(field.Message().FullName()), "google.")
		if field.Message() == nil || field.IsMap() || foreign || depth > 8 {
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
