using System.Buffers;
using System.IO.Compression;
using Microsoft.Net.Http.Headers;

namespace Agent.Dashboard.Web;

/// <summary>How bytes are sent: as they are, or compressed.</summary>
internal enum ContentCoding
{
    /// <summary>As they are.</summary>
    Identity,

    /// <summary>gzip (RFC 1952), which browsers take over plain http as well.</summary>
    Gzip,

    /// <summary>Brotli (RFC 7932), which they ask for over TLS, and on this machine.</summary>
    Brotli,
}

/// <summary>Choosing an encoding, and compressing answers.</summary>
internal static class Encodings
{
    /// <summary>Below this, compressing saves no packet.</summary>
    public const int Shortest = 1024;

    /// <summary>Of a history of 0.94 MB 260 kB are left after some 40 ms; the next level takes twice as long for 3 % less. gzip: 264 kB.</summary>
    private const int Quality = 4;
    private const int Window = 20;

    /// <summary>The best one that the client takes.</summary>
    public static ContentCoding Chosen(HttpRequest request) =>
        request.Takes(ContentCoding.Brotli) ? ContentCoding.Brotli
        : request.Takes(ContentCoding.Gzip) ? ContentCoding.Gzip
        : ContentCoding.Identity;

    /// <summary>Whether the client names an encoding as one that it takes.</summary>
    public static bool Takes(this HttpRequest request, ContentCoding encoding)
    {
        var accepted = request.Headers.AcceptEncoding;
        return accepted.Count > 0
            && StringWithQualityHeaderValue.TryParseList(accepted, out var values)
            && values.Any(value => value.Value.Equals(encoding.Name(), StringComparison.OrdinalIgnoreCase) && value.Quality is null or > 0);
    }

    /// <summary>Its name in Content-Encoding; empty for none.</summary>
    public static string Name(this ContentCoding encoding) =>
        encoding switch { ContentCoding.Brotli => "br", ContentCoding.Gzip => "gzip", _ => "" };

    /// <summary>The ending of a file that holds another one compressed; empty for none.</summary>
    public static string Ending(this ContentCoding encoding) =>
        encoding switch { ContentCoding.Brotli => ".br", ContentCoding.Gzip => ".gz", _ => "" };

    /// <summary>Says in an answer how it is sent.</summary>
    public static void Say(this ContentCoding encoding, HttpResponse response)
    {
        response.Headers.Vary = HeaderNames.AcceptEncoding;

        if (encoding != ContentCoding.Identity)
        {
            response.Headers.ContentEncoding = encoding.Name();
        }
    }

    /// <summary>Writes <paramref name="bytes"/> compressed to <paramref name="output"/>.</summary>
    public static void Compress(this ContentCoding encoding, ReadOnlyMemory<byte> bytes, ArrayBufferWriter<byte> output)
    {
        if (encoding == ContentCoding.Brotli)
        {
            var room = output.GetSpan(BrotliEncoder.GetMaxCompressedLength(bytes.Length));

            if (!BrotliEncoder.TryCompress(bytes.Span, room, out var written, Quality, Window))
            {
                throw new InvalidOperationException("Brotli wants more room than it said.");
            }

            output.Advance(written);
            return;
        }

        using var stream = new MemoryStream(bytes.Length / 4);

        using (var compressing = new GZipStream(stream, CompressionLevel.Optimal, leaveOpen: true))
        {
            compressing.Write(bytes.Span);
        }

        output.Write(stream.GetBuffer().AsSpan(0, (int)stream.Length));
    }
}
