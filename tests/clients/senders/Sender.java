// java.net.http as it comes: over plain http it offers HTTP/2 with each request. It has no forms,
// so this one is written by hand, as Java's users do.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;

public class Sender {
    static final Map<String, String> GIVEN = System.getenv();

    public static void main(String[] words) throws Exception {
        send("application/json", GIVEN.get("MESSAGE_SIGNATURE"), GIVEN.get("MESSAGE"));
        String metadata = GIVEN.get("METADATA");
        String form = "--java\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n" + metadata
            + "\r\n--java\r\nContent-Disposition: form-data; name=\"files\"; filename=\""
            + GIVEN.get("FILE_NAME").replace("\"", "\\\"") + "\"\r\n\r\n" + GIVEN.get("FILE_CONTENT") + "\r\n--java--\r\n";
        send("multipart/form-data; boundary=java", GIVEN.get("METADATA_SIGNATURE"), form);
    }

    static void send(String type, String signature, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(GIVEN.get("OPTIO_URL")))
            .header("Content-Type", type).header("X-Spark-Signature", signature)
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        HttpResponse<String> answer =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body().replace("\n", " "));
    }
}
