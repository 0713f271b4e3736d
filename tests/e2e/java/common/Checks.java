// Shared by the Java suites: assertions, waiting, and the rows of the test.

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

final class Checks {
    static final String BOOK = "java_book";
    static final int DIM = 8;
    static final long ROWS = 1200;
    /** First key of each flush and the one after its last. */
    static final long[][] BATCHES = {{0, 500}, {500, 900}, {900, ROWS}};
    private static final long DEADLINE_MS = 30_000;

    private Checks() {}

    static void check(boolean holds, String message) {
        if (!holds) {
            throw new AssertionError(message);
        }
    }

    static void equal(String what, Object got, Object want) {
        check(Objects.equals(got, want), what + ": got " + got + ", want " + want);
    }

    static void waitUntil(String what, BooleanSupplier holds) {
        long end = System.currentTimeMillis() + DEADLINE_MS;
        while (!holds.getAsBoolean()) {
            check(System.currentTimeMillis() < end, "not after " + DEADLINE_MS + " ms: " + what);
            try {
                Thread.sleep(100);
            } catch (InterruptedException why) {
                throw new IllegalStateException(why);
            }
        }
    }

    /** Runs what has been asked for, prints how it ended, and ends the process: the SDK's threads may outlive it. */
    static void run(Runnable test) {
        try {
            test.run();
            System.out.println("ok");
            System.exit(0);
        } catch (Throwable why) {
            why.printStackTrace();
            System.exit(1);
        }
    }

    static List<Long> keys(long first, long end) {
        return LongStream.range(first, end).boxed().collect(Collectors.toList());
    }

    /** Every tenth key is deleted. */
    static List<Long> gone() {
        return keys(0, ROWS).stream().filter(key -> key % 10 == 0).collect(Collectors.toList());
    }

    static List<Long> kept() {
        return keys(0, ROWS).stream().filter(key -> key % 10 != 0).collect(Collectors.toList());
    }

    static List<Float> vector(long key) {
        List<Float> vector = new ArrayList<>();
        for (int place = 0; place < DIM; place++) {
            vector.add((key * 31 + place * 7L) % 1000 / 8f);
        }
        return vector;
    }
}
