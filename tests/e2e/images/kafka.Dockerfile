# Stands in for apache/kafka where no image registry is reachable: the same jars, and the same program that makes
# server.properties of KAFKA_* and formats the disk (kafka.docker.KafkaDockerWrapper is in Kafka's own jar).
# Its context is the folder of jars that deploy/kafka fetches.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -q && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --no-create-home appuser \
    && install -d -o appuser /var/lib/kafka/data /opt/kafka/config /etc/kafka/docker /mnt/shared/config \
    && touch /etc/kafka/docker/server.properties /etc/kafka/docker/log4j2.yaml /etc/kafka/docker/tools-log4j2.yaml
COPY *.jar /opt/kafka/libs/
USER appuser
ENV CLUSTER_ID=5L6g3nShT-eMCtK--X86sw KAFKA_HEAP_OPTS=-Xmx512m LOG=-Dorg.slf4j.simpleLogger.defaultLogLevel=warn
EXPOSE 9092
CMD ["bash", "-ec", "said=$(java -XX:TieredStopAtLevel=1 $LOG -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup \
    --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) \
    || grep -q 'already formatted' <<<\"$said\" || { echo \"$said\"; exit 1; }; \
    exec java $KAFKA_HEAP_OPTS $LOG -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties"]
