package connect

import (
	"os"
	"strings"

	"github.com/RichardKnop/machinery/v1/config"
	configv2 "github.com/RichardKnop/machinery/v2/config"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// What Machinery uses when its configuration has no dynamodb section of its own (v1 and v2: config.defaultCnf).
const (
	taskStatesTable = "task_states"
	groupMetasTable = "group_metas"
)

// isDynamoDB says whether a URL is that of DynamoDB, as v1's factory does.
func isDynamoDB(address string) bool { return strings.HasPrefix(address, "https://dynamodb") }

// dynamoDBV1 is v1's section. Its SDK is older than AWS_ENDPOINT_URL_DYNAMODB, which v2's reads by itself.
func (o *Options) dynamoDBV1() *config.DynamoDBConfig {
	section := &config.DynamoDBConfig{TaskStatesTable: taskStatesTable, GroupMetasTable: groupMetasTable}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"); endpoint != "" && isDynamoDB(o.Backend) {
		section.Client = dynamodb.New(session.Must(session.NewSession(&aws.Config{Endpoint: &endpoint})))
	}
	return section
}

func dynamoDBV2() *configv2.DynamoDBConfig {
	return &configv2.DynamoDBConfig{TaskStatesTable: taskStatesTable, GroupMetasTable: groupMetasTable}
}
