// Package protos compiles the .proto files of this repository at run time, with a compiler that shares
// nothing with the one that generates the Rust code, and builds messages from them.
package protos

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Registry knows every service and message below one folder.
type Registry struct {
	files protoregistry.Files
	types *dynamicpb.Types
}

// Load compiles all .proto files below dir.
func Load(ctx context.Context, dir string) (*Registry, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".proto") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no .proto file", dir)
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("compiling the protos: %w", err)
	}
	registry := &Registry{}
	seen := map[string]bool{}
	var register func(file protoreflect.FileDescriptor) error
	register = func(file protoreflect.FileDescriptor) error {
		if seen[file.Path()] {
			return nil
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			if err := register(file.Imports().Get(i).FileDescriptor); err != nil {
				return err
			}
		}
		return registry.files.RegisterFile(file)
	}
	for _, file := range compiled {
		if err := register(file); err != nil {
			return nil, err
		}
	}
	registry.types = dynamicpb.NewTypes(&registry.files)
	return registry, nil
}

// Method finds an RPC by its path, "package.Service/Method".
func (r *Registry) Method(path string) (protoreflect.MethodDescriptor, error) {
	service, name, _ := strings.Cut(path, "/")
	found, err := r.files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", service, err)
	}
	descriptor, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no service", service)
	}
	method := descriptor.Methods().ByName(protoreflect.Name(name))
	if method == nil {
		return nil, fmt.Errorf("service %s has no method %s", service, name)
	}
	return method, nil
}

// Message makes an empty message of the type with the full name.
func (r *Registry) Message(name string) (*dynamicpb.Message, error) {
	found, err := r.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", name, err)
	}
	descriptor, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no message", name)
	}
	return dynamicpb.NewMessage(descriptor), nil
}

// Parse fills message from protobuf's JSON form; an empty text leaves it empty.
func (r *Registry) Parse(text string, message proto.Message) error {
	if text == "" {
		return nil
	}
	if err := (protojson.UnmarshalOptions{Resolver: r.types}).Unmarshal([]byte(text), message); err != nil {
		return fmt.Errorf("reading %s as %s: %w", text, message.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// JSON renders message in protobuf's JSON form, with the field names of the .proto files and with every
// field.
func (r *Registry) JSON(message proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{Resolver: r.types, UseProtoNames: true, EmitUnpopulated: true}.Marshal(message)
}
