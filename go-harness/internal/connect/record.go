package connect

import (
	"errors"

	"github.com/gomodule/redigo/redis"
)

// Recorder returns a function that appends "tag|line" to a list on a Redis, over connections of its own.
func (o *Options) Recorder(key, tag string) (func(line string) error, error) {
	if isAMQP(o.Records) || isPubSub(o.Records) {
		return func(string) error { return errors.New("there is no Redis to record on; give -records") }, nil
	}
	address, err := ParseRedis(o.Records)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	network, host := "tcp", address.Host
	if address.Socket != "" {
		network, host = "unix", address.Socket
	}
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) {
		return redis.Dial(
			network, host,
			redis.DialDatabase(address.DB),
			redis.DialUsername(address.Username),
			redis.DialPassword(address.Password),
			redis.DialTLSConfig(tlsConfig),
			redis.DialUseTLS(tlsConfig != nil),
		)
	}}
	return func(line string) error {
		connection := pool.Get()
		defer connection.Close()
		_, err := connection.Do("RPUSH", key, tag+"|"+line)
		return err
	}, nil
}
