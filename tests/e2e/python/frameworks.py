"""LangChain's and LlamaIndex' vector stores over Milvus, used as in their documentation."""

import pytest
from helpers import GRPC, drop_collection
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_milvus import Milvus
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.milvus import MilvusVectorStore

URI = f"http://{GRPC}"
BOOK = "framework_book"
DIM = 16

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def clean():
    drop_collection(BOOK)
    yield
    drop_collection(BOOK)


class Letters(Embeddings):
    """Counts letters: texts with the same letters are equal."""

    def embed_query(self, text):
        counts = [0.0] * DIM
        for letter in text:
            counts[ord(letter) % DIM] += 1
        return counts

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


def test_langchain():
    store = Milvus(Letters(), connection_args={"uri": URI}, collection_name=BOOK, consistency_level="Strong")
    numbers = range(50)
    documents = [Document(f"text number {n}", metadata={"number": n}) for n in numbers]
    ids = [f"d{n}" for n in numbers]
    assert store.add_documents(documents, ids=ids) == ids
    (best, distance), *_ = store.similarity_search_with_score("text number 7", k=3)
    assert (best.page_content, best.metadata["number"], distance) == ("text number 7", 7, 0)
    found = store.similarity_search("text number 7", k=50, expr="number >= 40")
    assert found[0].page_content == "text number 47" and {d.metadata["number"] for d in found} == set(range(40, 50))
    assert len(store.max_marginal_relevance_search("text number 7", k=3, fetch_k=10)) == 3
    assert len(store.as_retriever(search_kwargs={"k": 4}).invoke("text")) == 4
    assert store.delete(ids=ids[:5])
    assert len(store.similarity_search("text number 1", k=50)) == 45
    store.upsert(ids=["d10"], documents=[Document("replaced", metadata={"number": 1000})])
    replaced, = store.similarity_search("replaced", k=1)
    assert (replaced.page_content, replaced.metadata["number"]) == ("replaced", 1000)
    assert store.get_pks("number == 10") == []


def test_llama_index():
    store = MilvusVectorStore(URI, collection_name=BOOK, dim=DIM, similarity_metric="L2", consistency_level="Strong",
                              use_async_client=False)
    nodes = [TextNode(id_=f"n{n}", text=f"text {n}", embedding=[float(n)] * DIM, metadata={"number": n})
             for n in range(40)]
    assert store.add(nodes) == [f"n{n}" for n in range(40)]

    def nearest(filters=None):
        return store.query(VectorStoreQuery(query_embedding=[7.25] * DIM, similarity_top_k=3, filters=filters))

    found = nearest()
    assert found.ids == ["n7", "n8", "n6"] and found.similarities == [1, 9, 25]
    assert [node.text for node in found.nodes] == ["text 7", "text 8", "text 6"]
    beyond = MetadataFilters(filters=[MetadataFilter(key="number", value=20, operator=">")])
    assert nearest(beyond).ids == ["n21", "n22", "n23"]
    store.delete_nodes(node_ids=["n7"])
    assert nearest().ids == ["n8", "n6", "n9"]
    assert {node.node_id for node in store.get_nodes(node_ids=["n1", "n2"])} == {"n1", "n2"}
