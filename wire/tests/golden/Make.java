import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.header.internals.*;
import org.apache.kafka.common.serialization.*;
public class Make {
  static final String B = "127.0.0.1:9092";
  static final long T0 = 1700000000000L;
  static Properties props() { Properties p = new Properties(); p.put("bootstrap.servers", B); p.put("linger.ms", "1000");
    p.put("key.serializer", ByteArraySerializer.class.getName()); p.put("value.serializer", ByteArraySerializer.class.getName()); return p; }
  static ProducerRecord<byte[],byte[]> rec(String t, int i) {
    var h = new RecordHeaders(); h.add("n", new byte[]{(byte) i}); h.add("n", null);
    return new ProducerRecord<>(t, 0, T0 + i * 10L, i % 2 == 0 ? ("k" + i).getBytes() : null, ("value " + i + " " + "abcdefgh".repeat(8)).getBytes(), h);
  }
  public static void main(String[] a) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", B))) {
      var topics = new ArrayList<NewTopic>();
      for (String c : List.of("none", "gzip", "snappy", "lz4", "zstd", "transactions")) topics.add(new NewTopic(c, 1, (short) 1));
      topics.add(new NewTopic("append-time", 1, (short) 1).configs(Map.of("message.timestamp.type", "LogAppendTime")));
      topics.add(new NewTopic("compacted", 1, (short) 1).configs(Map.of("cleanup.policy", "compact",
          "min.cleanable.dirty.ratio", "0", "segment.ms", "1000")));
      admin.createTopics(topics).all().get();
    }
    for (String c : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      Properties p = props(); p.put("compression.type", c); p.put("enable.idempotence", !c.equals("none")); 
      try (var pr = new KafkaProducer<byte[],byte[]>(p)) {
        for (int i = 0; i < 5; i++) pr.send(rec(c, i)); pr.flush();
        for (int i = 5; i < 8; i++) pr.send(rec(c, i)); pr.flush();
      }
    }
    try (var pr = new KafkaProducer<byte[],byte[]>(props())) { for (int i = 0; i < 3; i++) pr.send(rec("append-time", i)); pr.flush(); }
    // Batches of a producer each: [a b c a b=null], [x], [c x], and a later one that rolls the segment.
    String[][] batches = {{"a", "b", "c", "a", "b-"}, {"x"}, {"c", "x"}, {"z"}};
    for (int b = 0; b < batches.length; b++) try (var pr = new KafkaProducer<byte[],byte[]>(props())) {
      for (String k : batches[b])
        pr.send(new ProducerRecord<>("compacted", 0, T0 + (b == 3 ? 3600_000L : b), k.substring(0, 1).getBytes(), k.endsWith("-") ? null : "v".getBytes()));
      pr.flush();
    }
    Properties p = props(); p.put("transactional.id", "t");
    try (var pr = new KafkaProducer<byte[],byte[]>(p)) {
      pr.initTransactions();
      pr.beginTransaction(); for (int i = 0; i < 3; i++) pr.send(rec("transactions", i)); pr.commitTransaction();
      pr.beginTransaction(); for (int i = 3; i < 5; i++) pr.send(rec("transactions", i)); pr.flush(); pr.abortTransaction();
    }
  }
}
