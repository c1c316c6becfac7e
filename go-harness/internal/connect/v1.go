package connect

import (
	machinery "github.com/RichardKnop/machinery/v1"
	redisbackend "github.com/RichardKnop/machinery/v1/backends/redis"
	redisbroker "github.com/RichardKnop/machinery/v1/brokers/redis"
	"github.com/RichardKnop/machinery/v1/config"
)

// ConfigV1 is the configuration of a Machinery v1 server.
func (o *Options) ConfigV1() (*config.Config, error) {
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	queueService, err := o.sqsV1()
	if err != nil {
		return nil, err
	}
	return &config.Config{
		Broker:          o.Broker,
		DefaultQueue:    o.Queue,
		ResultBackend:   o.Backend,
		ResultsExpireIn: o.ResultsExpire,
		Lock:            o.Lock,

		MultipleBrokerSeparator: o.Separator,
		TLSConfig:               tlsConfig,
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
			MasterName:             o.MasterName,
			ClusterMode:            o.Cluster,
		},
		AMQP: &config.AMQPConfig{
			Exchange:      amqpExchange,
			ExchangeType:  amqpExchangeType,
			BindingKey:    o.BindingKey,
			PrefetchCount: o.Prefetch,
			DelayedQueue:  o.DelayedQueue,
		},
		DynamoDB: o.dynamoDBV1(),
		SQS:      queueService,
	}, nil
}

// ServerV1 is a Machinery v1 server: by URL, as programs do it, or with the go-redis client.
func (o *Options) ServerV1() (*machinery.Server, error) {
	cnf, err := o.ConfigV1()
	if err != nil {
		return nil, err
	}
	if o.Client == Redigo || isAMQP(o.Broker) || isPubSub(o.Broker) || isDynamoDB(o.Backend) || o.severalRedis(o.Broker) {
		return machinery.NewServer(cnf)
	}
	// v1 reaches NewGR by URL only for several hosts or a cluster, so the single server is wired by hand.
	broker, err := ParseRedis(o.Broker)
	if err != nil {
		return nil, err
	}
	backend, err := ParseRedis(o.Backend)
	if err != nil {
		return nil, err
	}
	lock, err := o.lockV1(cnf)
	if err != nil {
		return nil, err
	}
	return machinery.NewServerWithBrokerBackendLock(
		cnf,
		redisbroker.NewGR(cnf, []string{broker.address()}, broker.DB),
		redisbackend.NewGR(cnf, []string{backend.address()}, backend.DB),
		lock,
	), nil
}
