// Package connect builds Machinery servers of both major versions from one set of options.
package connect

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Versions and clients that the harness knows.
const (
	V1      = "v1"
	V2      = "v2"
	Redigo  = "redigo"
	GoRedis = "goredis"
)

// Options says which Machinery to use and how to reach its services.
type Options struct {
	Version       string
	Client        string
	Broker        string
	Backend       string
	Queue         string
	ResultsExpire int
	NormalPoll    int
	DelayedPoll   int
	DelayedKey    string
	TLSCA         string
	Records       string
	Prefetch      int
	DelayedQueue  string
	BindingKey    string
	Separator     string
	Trace         bool
	SQS           SQS
	Cluster       bool
	MasterName    string
	Lock          string
}

// Flags declares the options on a flag set.
func (o *Options) Flags(set *flag.FlagSet) {
	set.StringVar(&o.Version, "version", V2, "Machinery's major version: v1 or v2")
	set.StringVar(&o.Client, "client", Redigo, "Machinery's Redis client: redigo (New) or goredis (NewGR)")
	set.StringVar(&o.Broker, "broker", "", "broker URL (redis://…, rediss://…, redis+socket://…, amqp://…, gcppubsub://…, http(s)://… for SQS)")
	set.StringVar(&o.Backend, "backend", "", "result backend URL (default: the broker's)")
	set.StringVar(&o.Queue, "queue", "machinery_tasks", "default queue")
	set.IntVar(&o.ResultsExpire, "results-expire", 0, "results_expire_in, seconds (0: Machinery's default)")
	set.IntVar(&o.NormalPoll, "normal-poll", 1000, "normal_tasks_poll_period, milliseconds")
	set.IntVar(&o.DelayedPoll, "delayed-poll", 20, "delayed_tasks_poll_period, milliseconds")
	set.StringVar(&o.DelayedKey, "delayed-key", "", "delayed_tasks_key (empty: Machinery's default)")
	set.StringVar(&o.Records, "records", "", "Redis URL that the task record is kept on (default: the broker's)")
	set.IntVar(&o.Prefetch, "prefetch", 3, "amqp.prefetch_count")
	set.StringVar(&o.DelayedQueue, "delayed-queue", "", "amqp.delayed_queue")
	set.StringVar(&o.BindingKey, "binding-key", amqpBindingKey, "amqp.binding_key")
	set.StringVar(&o.Separator, "separator", "", "multiple_broker_separator")
	set.BoolVar(&o.Trace, "trace", false, "trace by OpenTelemetry's bridge to OpenTracing")
	o.SQS.flags(set)
	set.BoolVar(&o.Cluster, "cluster", false, "redis.cluster_mode (v1) or cluster_enabled (v2)")
	set.StringVar(&o.MasterName, "master-name", "", "redis.master_name: the broker's hosts are sentinels")
	set.StringVar(&o.Lock, "lock", eagerLock, "lock of periodic tasks: eager, or redis://…")
	set.StringVar(&o.TLSCA, "tls-ca", "", "PEM file of the authority to trust; switches TLS on")
}

// Check fills what was left out and refuses what the harness does not know.
func (o *Options) Check() error {
	if o.Version != V1 && o.Version != V2 {
		return fmt.Errorf("-version is %q; use v1 or v2", o.Version)
	}
	if o.Client != Redigo && o.Client != GoRedis {
		return fmt.Errorf("-client is %q; use redigo or goredis", o.Client)
	}
	if o.Trace {
		trace()
	}
	if o.Broker == "" {
		return fmt.Errorf("-broker is missing; give a URL such as redis://127.0.0.1:6379")
	}
	if o.Backend == "" {
		o.Backend = o.Broker
	}
	if o.Records == "" {
		o.Records = o.Broker
	}
	return nil
}

func (o *Options) tlsConfig() (*tls.Config, error) {
	if o.TLSCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.TLSCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", o.TLSCA)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Redis is one Redis address taken apart, as v2's constructors want it.
type Redis struct {
	Host, Username, Password, Socket string
	DB                               int
}

// ParseRedis reads redis://[[user:]password@]host:port[/db], rediss://… and
// redis+socket://[password@]/path/file.sock[:/db].
func ParseRedis(address string) (Redis, error) {
	if rest, isSocket := strings.CutPrefix(address, "redis+socket://"); isSocket {
		return parseSocket(rest)
	}
	u, err := url.Parse(address)
	if err != nil {
		return Redis{}, fmt.Errorf("not a URL that the harness reads: %v", err)
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return Redis{}, fmt.Errorf("scheme %q: the harness speaks redis, rediss and redis+socket only", u.Scheme)
	}
	r := Redis{Host: u.Host}
	if password, both := u.User.Password(); both {
		r.Username, r.Password = u.User.Username(), password
	} else {
		r.Password = u.User.Username()
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		if r.DB, err = strconv.Atoi(path); err != nil {
			return Redis{}, fmt.Errorf("database %q is not a number", path)
		}
	}
	return r, nil
}

func parseSocket(rest string) (Redis, error) {
	var r Redis
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		r.Password, rest = rest[:at], rest[at+1:]
	}
	path, db, hasDB := strings.Cut(rest, ":/")
	r.Socket = path
	if hasDB && db != "" {
		number, err := strconv.Atoi(db)
		if err != nil {
			return Redis{}, fmt.Errorf("database %q is not a number", db)
		}
		r.DB = number
	}
	return r, nil
}

// address is what NewGR takes: [[user:]password@]host:port, or the socket's path.
func (r Redis) address() string {
	host := r.Host
	if r.Socket != "" {
		host = r.Socket
	}
	switch {
	case r.Username != "":
		return r.Username + ":" + r.Password + "@" + host
	case r.Password != "":
		return r.Password + "@" + host
	}
	return host
}
