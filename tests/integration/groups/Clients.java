import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.connect.mirror.MirrorClient;
import org.apache.kafka.connect.mirror.RemoteClusterUtils;

/** What Kafka's own client tools make of checkpoints and heartbeats: {@code BOOTSTRAP SOURCE_ALIAS GROUP}. */
public class Clients {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", args[0]);
        var offsets = RemoteClusterUtils.translateOffsets(config, args[1], args[2], Duration.ofSeconds(30));
        var sorted = new TreeMap<String, Long>();
        offsets.forEach((partition, offset) -> sorted.put(partition.toString(), offset.offset()));
        sorted.forEach((partition, offset) -> System.out.println(partition + " " + offset));
        try (var client = new MirrorClient(config)) {
            System.out.println("hops " + client.replicationHops(args[1]));
            System.out.println("upstream " + client.upstreamClusters().contains(args[1]));
            System.out.println("checkpoints " + client.checkpointTopics().contains(args[1] + ".checkpoints.internal"));
        }
    }
}
