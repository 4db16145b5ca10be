// Package talosconfig reads and writes the credentials file of Talos clients.
package talosconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Config is the whole file.
type Config struct {
	Context  string              `yaml:"context"`
	Contexts map[string]*Context `yaml:"contexts"`
}

// Context is one cluster with one identity.
type Context struct {
	Endpoints []string `yaml:"endpoints"`
	Nodes     []string `yaml:"nodes,omitempty"`
	CA        string   `yaml:"ca,omitempty"`
	Crt       string   `yaml:"crt,omitempty"`
	Key       string   `yaml:"key,omitempty"`
	Cluster   string   `yaml:"cluster,omitempty"`
}

// Parse reads the text of a talosconfig.
func Parse(text []byte) (*Config, error) {
	config := &Config{}
	if err := yaml.Unmarshal(text, config); err != nil {
		return nil, fmt.Errorf("talosconfig: %w", err)
	}
	return config, nil
}

// Load reads the file at path.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Save writes the file as Talos does: mode 0600 in a folder with mode 0700.
func (c *Config) Save(path string) error {
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// Current is the context that the file names.
func (c *Config) Current() (*Context, error) {
	current := c.Contexts[c.Context]
	if current == nil {
		return nil, fmt.Errorf("default context %q not found in config", c.Context)
	}
	return current, nil
}

// TLS is what a Talos client sets up from a context, with Go's defaults for all the rest.
func (c *Context) TLS() (*tls.Config, error) {
	ca, err := base64.StdEncoding.DecodeString(c.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("ca: no certificate")
	}
	config := &tls.Config{RootCAs: roots}
	if c.Crt == "" && c.Key == "" {
		return config, nil
	}
	pair, err := c.pair()
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// Leaf is the client certificate of a context.
func (c *Context) Leaf() (*x509.Certificate, error) {
	pair, err := c.pair()
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

func (c *Context) pair() (tls.Certificate, error) {
	crt, err := base64.StdEncoding.DecodeString(c.Crt)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("crt: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(c.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	// crypto/tls takes every label that ends in PRIVATE KEY.
	if block, _ := pem.Decode(key); block == nil {
		return tls.Certificate{}, errors.New("key: no PEM block")
	}
	return tls.X509KeyPair(crt, key)
}
