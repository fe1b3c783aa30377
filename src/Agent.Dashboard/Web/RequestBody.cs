using System.Buffers;
using System.IO.Compression;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>A request's body in memory, from a pool; give it back by disposing of it.</summary>
/// <param name="Status">200, or the status to refuse with.</param>
/// <param name="Error">Why it is refused.</param>
/// <param name="Detail">What varies about that.</param>
internal sealed record RequestBody(byte[] Buffer, int Length, int Status, string Error, string Detail) : IDisposable
{
    private const int FirstPiece = 16384;

    /// <summary>The bytes.</summary>
    public ReadOnlyMemory<byte> Bytes => Buffer.AsMemory(0, Length);

    /// <summary>
    /// Reads it, chunked or not, gzip or not. Larger than the longest body it is refused, and also while its server or its address has
    /// too much on its way already. The server's own rate of arrival ends what comes too slowly.
    /// </summary>
    public static Task<RequestBody> Read(HttpContext context, BodyShares shares, string server) =>
        Read(context, shares, server, IntakeModule.longestBody);

    /// <summary>Reads the body of a request that is no sample, of so many bytes at most. All of those share what one server may have.</summary>
    public static Task<RequestBody> ReadSmall(HttpContext context, BodyShares shares, int longest) => Read(context, shares, "", longest);

    private static async Task<RequestBody> Read(HttpContext context, BodyShares shares, string server, int longest)
    {
        var request = context.Request;
        var encoding = request.Headers.ContentEncoding.ToString().Trim();
        var isGzip = encoding.Equals("gzip", StringComparison.OrdinalIgnoreCase)
            || encoding.Equals("x-gzip", StringComparison.OrdinalIgnoreCase);

        if (!isGzip && encoding.Length > 0 && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            return Refused(
                StatusCodes.Status415UnsupportedMediaType, "Content-Encoding is not known.", $"\"{encoding}\": send gzip, or none");
        }

        if (request.ContentLength > longest)
        {
            return IsTooLarge(longest);
        }

        // Of one that does not say how long it is, the longest.
        var taken = (int)(request.ContentLength ?? longest);
        var owner = AddressShares.Owner(context.Connection.RemoteIpAddress);

        if (!shares.TryTake(server, owner, taken))
        {
            return Refused(
                StatusCodes.Status429TooManyRequests, "Too much is on its way.", $"{BodyShares.OfServer >> 20} MiB of bodies at a time");
        }

        RequestBody sent;

        try
        {
            // A byte more, to see the end without asking for a larger buffer.
            var expected = request.ContentLength is { } length ? (int)length + 1 : Math.Min(FirstPiece, longest + 1);
            sent = await Read(request.Body, expected, longest, context.RequestAborted);
        }
        finally
        {
            shares.Return(server, owner, taken);
        }

        return isGzip && sent.Status == StatusCodes.Status200OK ? Unpacked(sent, longest) : sent;
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(Buffer);

    private static RequestBody Refused(int status, string error, string detail) => new([], 0, status, error, detail);

    private static RequestBody IsTooLarge(int longest) =>
        Refused(
            StatusCodes.Status413PayloadTooLarge,
            "Body is too large.",
            $"at most {longest} bytes, compressed or not");

    private static async Task<RequestBody> Read(Stream body, int expected, int longest, CancellationToken stop)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(expected);
        var length = 0;

        try
        {
            while (true)
            {
                if (length == buffer.Length && !Grow(ref buffer, longest))
                {
                    break;
                }

                var read = await body.ReadAsync(buffer.AsMemory(length), stop);

                if (read == 0)
                {
                    break;
                }

                length += read;
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }

        return Whole(buffer, length, longest);
    }

    /// <summary>What a body unpacks to. In one go, so that there are never more of them in memory than threads.</summary>
    private static RequestBody Unpacked(RequestBody packed, int longest)
    {
        using (packed)
        {
            var buffer = ArrayPool<byte>.Shared.Rent(Math.Min(FirstPiece, longest + 1));

            try
            {
                using var unpacked = new GZipStream(new MemoryStream(packed.Buffer, 0, packed.Length), CompressionMode.Decompress);
                var length = 0;

                while (length < buffer.Length || Grow(ref buffer, longest))
                {
                    var read = unpacked.Read(buffer, length, buffer.Length - length);

                    if (read == 0)
                    {
                        break;
                    }

                    length += read;
                }

                return Whole(buffer, length, longest);
            }
            catch (InvalidDataException)
            {
                ArrayPool<byte>.Shared.Return(buffer);
                return Refused(
                    StatusCodes.Status400BadRequest, "Body is not gzip.", "Content-Encoding says that it is; it is something else, or damaged");
            }
        }
    }

    /// <summary>Twice the room; false for a buffer that holds more than the longest body.</summary>
    private static bool Grow(ref byte[] buffer, int longest)
    {
        if (buffer.Length > longest)
        {
            return false;
        }

        var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
        buffer.AsSpan().CopyTo(larger);
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = larger;
        return true;
    }

    private static RequestBody Whole(byte[] buffer, int length, int longest)
    {
        if (length > longest)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            return IsTooLarge(longest);
        }

        return new RequestBody(buffer, length, StatusCodes.Status200OK, "", "");
    }
}
