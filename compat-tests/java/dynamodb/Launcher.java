import com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBRequestHandler;
import com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBServerHandler;
import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** Amazon's DynamoDB in memory on a port of 127.0.0.1 (0: any), which it prints; its own main binds every interface. */
public class Launcher {
  public static void main(String[] arguments) throws Exception {
    boolean inMemory = true;
    // Then access keys are looked at.
    boolean oneForAllKeysAndRegions = false;
    LocalDynamoDBRequestHandler requests =
        new LocalDynamoDBRequestHandler(0, inMemory, null, oneForAllKeysAndRegions, false);
    Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
    server.setHandler(new LocalDynamoDBServerHandler(requests, null));
    server.start();
    System.out.println(((ServerConnector) server.getConnectors()[0]).getLocalPort());
    server.join();
  }
}
