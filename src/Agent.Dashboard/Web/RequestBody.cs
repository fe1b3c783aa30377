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
    public static async Task<RequestBody> Read(HttpContext context, BodyShares shares, string server)
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

        if (request.ContentLength > IntakeModule.longestBody)
        {
            return IsTooLarge();
        }

        // Of one that does not say how long it is, the longest.
        var taken = (int)(request.ContentLength ?? IntakeModule.longestBody);
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
            sent = await Read(request.Body, request.ContentLength is { } length ? (int)length + 1 : FirstPiece, context.RequestAborted);
        }
        finally
        {
            shares.Return(server, owner, taken);
        }

        return isGzip && sent.Status == StatusCodes.Status200OK ? Unpacked(sent) : sent;
    }

    /// <summary>Reads a body of at most so many bytes that is not a sample; it is not compressed.</summary>
    public static async Task<RequestBody> ReadSmall(HttpContext context, BodyShares shares, int longest)
    {
        var request = context.Request;
        var encoding = request.Headers.ContentEncoding.ToString().Trim();

        if (encoding.Length > 0 && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            return Refused(StatusCodes.Status415UnsupportedMediaType, "Content-Encoding is not known.", $"\"{encoding}\": send none");
        }

        if (request.ContentLength > longest)
        {
            return IsTooLarge(longest);
        }

        var owner = AddressShares.Owner(context.Connection.RemoteIpAddress);

        if (!shares.TryTake("", owner, longest))
        {
            return Refused(StatusCodes.Status429TooManyRequests, "Too much is on its way.", "from this address, or from all together");
        }

        var buffer = ArrayPool<byte>.Shared.Rent(longest + 1);

        try
        {
            // A byte more, to see that it goes on.
            var length = await request.Body.ReadAtLeastAsync(
                buffer.AsMemory(0, longest + 1), longest + 1, throwOnEndOfStream: false, context.RequestAborted);

            if (length <= longest)
            {
                return new RequestBody(buffer, length, StatusCodes.Status200OK, "", "");
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
        finally
        {
            shares.Return("", owner, longest);
        }

        ArrayPool<byte>.Shared.Return(buffer);
        return IsTooLarge(longest);
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(Buffer);

    private static RequestBody Refused(int status, string error, string detail) => new([], 0, status, error, detail);

    private static RequestBody IsTooLarge() => IsTooLarge(IntakeModule.longestBody);

    private static RequestBody IsTooLarge(int longest) =>
        Refused(StatusCodes.Status413PayloadTooLarge, "Body is too large.", $"at most {longest} bytes, compressed or not");

    private static async Task<RequestBody> Read(Stream body, int expected, CancellationToken stop)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(expected);
        var length = 0;

        try
        {
            while (true)
            {
                if (length == buffer.Length && !Grow(ref buffer))
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

        return Whole(buffer, length);
    }

    /// <summary>What a body unpacks to. In one go, so that there are never more of them in memory than threads.</summary>
    private static RequestBody Unpacked(RequestBody packed)
    {
        using (packed)
        {
            var buffer = ArrayPool<byte>.Shared.Rent(FirstPiece);

            try
            {
                using var unpacked = new GZipStream(new MemoryStream(packed.Buffer, 0, packed.Length), CompressionMode.Decompress);
                var length = 0;

                while (length < buffer.Length || Grow(ref buffer))
                {
                    var read = unpacked.Read(buffer, length, buffer.Length - length);

                    if (read == 0)
                    {
                        break;
                    }

                    length += read;
                }

                return Whole(buffer, length);
            }
            catch (InvalidDataException damaged)
            {
                ArrayPool<byte>.Shared.Return(buffer);
                return Refused(StatusCodes.Status400BadRequest, "Body is not gzip.", damaged.Message);
            }
        }
    }

    /// <summary>Twice the room; false for a buffer that holds more than the longest body.</summary>
    private static bool Grow(ref byte[] buffer)
    {
        if (buffer.Length > IntakeModule.longestBody)
        {
            return false;
        }

        var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
        buffer.AsSpan().CopyTo(larger);
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = larger;
        return true;
    }

    private static RequestBody Whole(byte[] buffer, int length)
    {
        if (length > IntakeModule.longestBody)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            return IsTooLarge();
        }

        return new RequestBody(buffer, length, StatusCodes.Status200OK, "", "");
    }
}
