// Package conn dials a cluster with the channel settings of Talos's own client: several endpoints behind
// a round-robin balancer, each verified by its own host name; one endpoint behind pick_first; large
// windows, and the "runtime" metadata on every call.
package conn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// MaxMessage is the largest message either side takes.
const MaxMessage = 32 << 20

const window = 65535

// Log is the set of RPCs that were called.
type Log struct {
	mutex  sync.Mutex
	called map[string]bool
}

// Drain gives the RPCs called since the last Drain, as "package.Service/Method".
func (l *Log) Drain() []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	names := make([]string, 0, len(l.called))
	for name := range l.called {
		names = append(names, name)
	}
	l.called = nil
	return names
}

func (l *Log) add(path string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.called == nil {
		l.called = map[string]bool{}
	}
	l.called[strings.TrimPrefix(path, "/")] = true
}

// Dial connects lazily to all endpoints.
func Dial(endpoints []string, config *tls.Config, log *Log) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)),
		grpc.WithInitialWindowSize(window * 32),
		grpc.WithInitialConnWindowSize(window * 16),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any,
			channel *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			log.add(method)
			return invoke(decorate(ctx), method, request, reply, channel, options...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, description *grpc.StreamDesc,
			channel *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			log.add(method)
			return open(decorate(ctx), description, channel, method, options...)
		}),
	}
	if len(endpoints) == 1 {
		return grpc.NewClient("dns:///"+Address(endpoints[0]), options...)
	}
	var addresses []resolver.Address
	for _, endpoint := range endpoints {
		address := Address(endpoint)
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, resolver.Address{
			Addr: address, ServerName: host, Attributes: attributes.New("endpoint", endpoint),
		})
	}
	fixed := manual.NewBuilderWithScheme("talosroundrobin")
	fixed.InitialState(resolver.State{Addresses: addresses})
	options = append(options,
		grpc.WithResolvers(fixed),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	return grpc.NewClient("talosroundrobin:///"+strings.Join(endpoints, ","), options...)
}

func decorate(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "runtime", "Talos")
}

// Address turns an endpoint as a talosconfig has it into host and port.
func Address(endpoint string) string {
	if parsed, err := url.Parse(endpoint); err == nil && parsed.Scheme != "" && parsed.Host != "" {
		switch {
		case parsed.Port() != "":
			return parsed.Host
		case parsed.Scheme == "https":
			return net.JoinHostPort(parsed.Hostname(), "443")
		default:
			endpoint = parsed.Hostname()
		}
	}
	if _, _, err := net.SplitHostPort(endpoint); err == nil {
		return endpoint
	}
	return net.JoinHostPort(strings.Trim(endpoint, "[]"), "50000")
}

// Insecure verifies nothing and keeps the leaf certificate it saw, for maintenance mode.
func Insecure(seen func(leaf *x509.Certificate)) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			seen(state.PeerCertificates[0])
			return nil
		},
	}
}

// ToNode sends a call to one node.
func ToNode(ctx context.Context, node string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "node", node)
}

// ToNodes lets the endpoint fan a call out, as clients before 1.14 did.
func ToNodes(ctx context.Context, nodes ...string) context.Context {
	for _, node := range nodes {
		ctx = metadata.AppendToOutgoingContext(ctx, "nodes", node)
	}
	return ctx
}
