package connect

import (
	machinery "github.com/RichardKnop/machinery/v2"
	amqpbackend "github.com/RichardKnop/machinery/v2/backends/amqp"
	dynamodbbackend "github.com/RichardKnop/machinery/v2/backends/dynamodb"
	backends "github.com/RichardKnop/machinery/v2/backends/iface"
	mongobackend "github.com/RichardKnop/machinery/v2/backends/mongo"
	redisbackend "github.com/RichardKnop/machinery/v2/backends/redis"
	amqpbroker "github.com/RichardKnop/machinery/v2/brokers/amqp"
	brokers "github.com/RichardKnop/machinery/v2/brokers/iface"
	redisbroker "github.com/RichardKnop/machinery/v2/brokers/redis"
	sqsbroker "github.com/RichardKnop/machinery/v2/brokers/sqs"
	"github.com/RichardKnop/machinery/v2/config"
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

		MultipleBrokerSeparator: o.Separator,
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
			ClusterEnabled:         o.Cluster,
		},
		AMQP: &config.AMQPConfig{
			Exchange:      amqpExchange,
			ExchangeType:  amqpExchangeType,
			BindingKey:    o.BindingKey,
			PrefetchCount: o.Prefetch,
			DelayedQueue:  o.DelayedQueue,
		},
		DynamoDB: dynamoDBV2(),
	}
	broker, err := o.brokerV2(cnf)
	if err != nil {
		return nil, err
	}
	backend, err := o.backendV2(cnf)
	if err != nil {
		return nil, err
	}
	lock, err := o.lockV2(cnf)
	if err != nil {
		return nil, err
	}
	return machinery.NewServer(cnf, broker, backend, lock), nil
}

func (o *Options) brokerV2(cnf *config.Config) (brokers.Broker, error) {
	if isAMQP(o.Broker) {
		return amqpbroker.New(cnf), nil
	}
	if isPubSub(o.Broker) {
		return pubSubBrokerV2(cnf, o.Broker)
	}
	if isSQS(o.Broker) {
		cnf.SQS = o.SQS.configV2()
		return sqsbroker.New(cnf)
	}
	if o.severalRedis(o.Broker) {
		return redisbroker.NewGR(cnf, redisHosts(o.Broker), 0), nil
	}
	address, err := ParseRedis(o.Broker)
	if err != nil {
		return nil, err
	}
	if o.Client == GoRedis {
		return redisbroker.NewGR(cnf, []string{address.address()}, address.DB), nil
	}
	return redisbroker.New(cnf, address.Host, address.Username, address.Password, address.Socket, address.DB), nil
}

func (o *Options) backendV2(cnf *config.Config) (backends.Backend, error) {
	if isAMQP(o.Backend) {
		return amqpbackend.New(cnf), nil
	}
	if isMongoDB(o.Backend) {
		return mongobackend.New(cnf)
	}
	if isMemcache(o.Backend) {
		return memcacheV2(cnf), nil
	}
	if isDynamoDB(o.Backend) {
		return dynamodbbackend.New(cnf)
	}
	if o.severalRedis(o.Backend) {
		return redisbackend.NewGR(cnf, redisHosts(o.Backend), 0), nil
	}
	address, err := ParseRedis(o.Backend)
	if err != nil {
		return nil, err
	}
	if o.Client == GoRedis {
		return redisbackend.NewGR(cnf, []string{address.address()}, address.DB), nil
	}
	return redisbackend.New(cnf, address.Host, address.Username, address.Password, address.Socket, address.DB), nil
}
