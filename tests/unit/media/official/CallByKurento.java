import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Scanner;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.kurento.client.IceCandidate;
import org.kurento.client.KurentoClient;
import org.kurento.client.KurentoConnectionListener;
import org.kurento.client.MediaPipeline;
import org.kurento.client.WebRtcEndpoint;
import org.kurento.client.internal.server.KurentoServerException;

/**
 * A call of two by the official client of Kurento, against the server at an address. It says each step on a line of
 * its own. After "cut me" the test breaks the connection, and after "end me" it starts the server anew.
 */
public final class CallByKurento {
    private static final long SECONDS = 60;
    private static final BlockingQueue<String> CONNECTION = new LinkedBlockingQueue<>();
    private static final BlockingQueue<String> CANDIDATES = new LinkedBlockingQueue<>();

    public static void main(String[] args) {
        try {
            call(args);
            System.exit(0); // the client leaves threads behind
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    private static void call(String[] args) throws Exception {
        String sends = Files.readString(Path.of(args[1]));
        String receives = Files.readString(Path.of(args[2]));
        Scanner told = new Scanner(System.in);
        KurentoClient client = KurentoClient.create(args[0], new KurentoConnectionListener() {
            @Override
            public void connected() {
                CONNECTION.add("connected");
            }

            @Override
            public void connectionFailed() {
                CONNECTION.add("failed");
            }

            @Override
            public void disconnected() {}

            @Override
            public void reconnected(boolean sameServer) {
                CONNECTION.add(sameServer ? "same" : "another");
            }
        });
        MediaPipeline pipeline = client.createMediaPipeline();
        WebRtcEndpoint outgoing = endpoint(pipeline);
        say("answer " + summary(outgoing.processOffer(sends)));
        outgoing.gatherCandidates();
        say("candidate " + next(CANDIDATES));
        WebRtcEndpoint incoming = endpoint(pipeline);
        incoming.setMaxVideoSendBandwidth(1500);
        outgoing.connect(incoming);
        say("answer " + summary(incoming.processOffer(receives)));
        incoming.gatherCandidates();
        say("candidate " + next(CANDIDATES));
        incoming.addIceCandidate(new IceCandidate("candidate:1 1 udp 1 127.0.0.1 9 typ host", "0", 0));
        try {
            incoming.processOffer(receives);
            say("no error");
        } catch (KurentoServerException error) {
            say("error " + error.getCode());
        }
        say("cut me");
        told.nextLine();
        awaitConnection("same");
        WebRtcEndpoint later = endpoint(pipeline);
        outgoing.connect(later);
        say("answer " + summary(later.processOffer(receives)));
        later.gatherCandidates();
        say("candidate " + next(CANDIDATES));
        later.release();
        incoming.release();
        pipeline.release();
        say("end me");
        told.nextLine();
        awaitConnection("another");
        MediaPipeline anew = client.createMediaPipeline();
        say("answer " + summary(endpoint(anew).processOffer(sends)));
        anew.release();
        client.destroy();
        say("done");
    }

    private static WebRtcEndpoint endpoint(MediaPipeline pipeline) {
        WebRtcEndpoint made = new WebRtcEndpoint.Builder(pipeline).build();
        made.addIceCandidateFoundListener(event -> CANDIDATES.add(event.getCandidate().getCandidate().split(" ")[0]));
        return made;
    }

    /** The direction of the first section of an answer. */
    private static String summary(String answer) {
        return answer.lines().filter(line -> line.matches("a=(sendonly|recvonly|sendrecv|inactive)")).findFirst().get();
    }

    private static void awaitConnection(String wanted) throws InterruptedException {
        while (!next(CONNECTION).equals(wanted)) {
            continue;
        }
        say("reconnected " + wanted);
    }

    private static String next(BlockingQueue<String> queue) throws InterruptedException {
        String found = queue.poll(SECONDS, TimeUnit.SECONDS);
        if (found == null) {
            throw new IllegalStateException("nothing came");
        }
        return found;
    }

    private static void say(String step) {
        System.out.println(step);
        System.out.flush();
    }
}
