import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a group that processes records, each printed once it is committed: {@code BOOTSTRAP GROUP TOPIC COUNT}. Ends with COUNT
 * records, or when none has come for 10 s.
 */
public class Mover {
    public static void main(String[] args) {
        var config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", args[1]);
        config.put("enable.auto.commit", "false");
        // Where nothing is committed, nothing is to be passed over in silence.
        config.put("auto.offset.reset", "none");
        config.put("isolation.level", "read_committed");
        config.put("max.poll.records", "50");
        int left = Integer.parseInt(args[3]);
        long quiet = System.nanoTime();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(args[2]));
            while (left > 0 && System.nanoTime() - quiet < Duration.ofSeconds(10).toNanos()) {
                var records = consumer.poll(Duration.ofMillis(200));
                consumer.commitSync();
                for (var record : records) {
                    System.out.println(record.value());
                    left--;
                    quiet = System.nanoTime();
                }
            }
        }
    }
}
