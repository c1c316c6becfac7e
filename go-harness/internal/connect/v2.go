package connect

import (
	machinery "github.com/RichardKnop/machinery/v2"
	redisbackend "github.com/RichardKnop/machinery/v2/backends/redis"
	redisbroker "github.com/RichardKnop/machinery/v2/brokers/redis"
	"github.com/RichardKnop/machinery/v2/config"
	eagerlock "github.com/RichardKnop/machinery/v2/locks/eager"
)

// ServerV2 is a Machinery v2 server; v2 parses no URL, so the addresses are taken apart here.
func (o *Options) ServerV2() (*machinery.Server, error) {
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	cnf := &config.Config{
		Broker:          o.Broker,
		DefaultQueue:    o.Queue,
		ResultBackend:   o.Backend,
		ResultsExpireIn: o.ResultsExpire,
		TLSConfig:       tlsConfig,
		Redis: &config.RedisConfig{
			MaxIdle:                10,
			MaxActive:              100,
			IdleTimeout:            240,
			Wait:                   true,
			ReadTimeout:            15,
			WriteTimeout:           15,
			ConnectTimeout:         15,
			NormalTasksPollPeriod:  o.NormalPoll,
			DelayedTasksPollPeriod: o.DelayedPoll,
			DelayedTasksKey:        o.DelayedKey,
		},
	}
	broker, err := ParseRedis(o.Broker)
	if err != nil {
		return nil, err
	}
	backend, err := ParseRedis(o.Backend)
	if err != nil {
		return nil, err
	}
	if o.Client == GoRedis {
		return machinery.NewServer(
			cnf,
			redisbroker.NewGR(cnf, []string{broker.address()}, broker.DB),
			redisbackend.NewGR(cnf, []string{backend.address()}, backend.DB),
			eagerlock.New(),
		), nil
	}
	return machinery.NewServer(
		cnf,
		redisbroker.New(cnf, broker.Host, broker.Username, broker.Password, broker.Socket, broker.DB),
		redisbackend.New(cnf, backend.Host, backend.Username, backend.Password, backend.Socket, backend.DB),
		eagerlock.New(),
	), nil
}
