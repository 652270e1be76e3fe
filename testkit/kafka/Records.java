/*
 * Reads and writes whole records by Kafka's Java clients. Run by the testkit crate with Kafka's jars on the class path:
 *
 *   java -cp 'jars/*' Records.java read BOOTSTRAP ISOLATION TOPIC…
 *       prints all records up to the present ends, a line each
 *   java -cp 'jars/*' Records.java write BOOTSTRAP TOPIC PARTITION:CODEC,… [PROPERTY=VALUE…]
 *       writes those of standard input to each of the partitions; lines are as read prints them, but without topic,
 *       partition, offset and kind of time
 *
 * A line has fields between tabs: topic, partition, offset, kind of time (0 create time, 1 log append time, -1 none), time in
 * ms, key, value, headers. Bytes are hexadecimal, null is "-"; headers are "name:value" between blanks.
 */

import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Records {
    private static final HexFormat HEX = HexFormat.of();
    private static final Duration DEADLINE = Duration.ofSeconds(60);

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "read" -> read(args[1], args[2], List.of(args).subList(3, args.length));
            case "write" -> write(args[1], args[2], args[3].split(","), List.of(args).subList(4, args.length));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void read(String bootstrap, String isolation, List<String> topics) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("isolation.level", isolation);
        properties.put("auto.offset.reset", "none");
        properties.put("enable.auto.commit", "false");
        properties.put("max.poll.records", "100000");
        properties.put("fetch.max.wait.ms", "50");
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 20), false, StandardCharsets.US_ASCII);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String topic : topics) {
                consumer.partitionsFor(topic, DEADLINE).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, DEADLINE);
            long progress = System.nanoTime();
            // The position also passes what is not handed out: markers, aborted and compacted records.
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey(), DEADLINE) < end.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    progress = System.nanoTime();
                    if (record.offset() < ends.get(new TopicPartition(record.topic(), record.partition()))) {
                        out.println(line(record));
                    }
                }
                if (System.nanoTime() - progress > DEADLINE.toNanos()) {
                    throw new IllegalStateException("no progress for " + DEADLINE + "; ends " + ends);
                }
            }
        }
        out.flush();
        if (out.checkError()) {
            throw new IllegalStateException("could not print all");
        }
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder headers = new StringBuilder();
        for (Header header : record.headers()) {
            headers.append(headers.isEmpty() ? "" : " ");
            headers.append(HEX.formatHex(header.key().getBytes(StandardCharsets.UTF_8))).append(':').append(hex(header.value()));
        }
        return String.join("\t", record.topic(), "" + record.partition(), "" + record.offset(), "" + record.timestampType().id,
            "" + record.timestamp(), hex(record.key()), hex(record.value()), headers);
    }

    private static void write(String bootstrap, String topic, String[] where, List<String> more) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        List<String> lines = in.lines().toList();
        for (String each : where) {
            String[] parts = each.split(":");
            Properties properties = new Properties();
            properties.put("bootstrap.servers", bootstrap);
            properties.put("linger.ms", "5");
            properties.put("compression.type", parts[1]);
            for (String property : more) {
                String[] pair = property.split("=", 2);
                properties.put(pair[0], pair[1]);
            }
            ByteArraySerializer bytes = new ByteArraySerializer();
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, bytes, bytes)) {
                lines.forEach(line -> sent.add(producer.send(record(topic, Integer.valueOf(parts[0]), line))));
            }
            for (Future<RecordMetadata> acknowledged : sent) {
                acknowledged.get();
            }
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, Integer partition, String line) {
        String[] fields = line.split("\t", -1);
        List<Header> headers = new ArrayList<>();
        for (String header : fields[3].isEmpty() ? new String[0] : fields[3].split(" ")) {
            String[] parts = header.split(":", -1);
            headers.add(new RecordHeader(new String(bytes(parts[0]), StandardCharsets.UTF_8), bytes(parts[1])));
        }
        Long timestamp = fields[0].equals("-") ? null : Long.valueOf(fields[0]);
        return new ProducerRecord<>(topic, partition, timestamp, bytes(fields[1]), bytes(fields[2]), headers);
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HEX.formatHex(bytes);
    }

    private static byte[] bytes(String hex) {
        return hex.equals("-") ? null : HEX.parseHex(hex);
    }
}
